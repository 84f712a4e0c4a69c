/* SPDX-License-Identifier: Apache-2.0
 *
 * The demo's witness: totals of every update, kept by code that knows nothing of libshm. A worker writes its tally in
 * pages that only it and its parent share; what is in there when the worker is killed has been acknowledged, and must
 * be in /metrics. */
#ifndef ORCHESTRATOR_TALLY_H
#define ORCHESTRATOR_TALLY_H

#include <stddef.h>
#include <stdio.h>

struct tally; /* has one writer at a time; survives the writer's death */

struct tally *tally_new(void); /* NULL and errno on failure */
void tally_free(struct tally *tally);

/* From its birth on a worker shares its tally with nobody else: call `before` a fork and `after` it, in the parent. */
void tally_before_fork(struct tally *tally);
void tally_after_fork(struct tally *tally);

/* Adds v to the total of name{labels="values"}; `labels` and `values` (NULL, or ended by NULL) in any order.
 * One aligned store makes an addition complete: a kill leaves the old total or the new one. */
void tally_add(struct tally *tally, const char *name, const char *const *labels, const char *const *values, double v);

/* The totals of n tallies added up, to `out`, sorted: lines of `name{labels} value`, labels sorted by name, values that
 * read back as the same double. Returns -1 if a tally had to drop an addition because it was full, or out of memory. */
int tally_print(FILE *out, struct tally *const *tallies, size_t n);

/* Sum of the totals of all series whose line begins with `prefix`, such as "git_merge_total{". */
double tally_total(struct tally *const *tallies, size_t n, const char *prefix);

/* Rounds to a multiple of 2^-30, about a nanosecond (or a nano-dollar). Up to 2^23 such values add up without any
 * rounding, in whatever order: so the totals here and in /metrics agree to the last bit. */
double tally_exact(double v);

#endif
