/* SPDX-License-Identifier: Apache-2.0
 *
 * What a language model's tokens cost: a table read from a file.
 *
 * The file: one line a model, `model <TAB> dollars per million prompt tokens <TAB> dollars per million completion
 * tokens`. Empty lines and lines that begin with # are comments. */
#ifndef ORCHESTRATOR_PRICES_H
#define ORCHESTRATOR_PRICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct price {
    char *model;
    double prompt; /* dollars per million tokens */
    double completion;
};

struct prices {
    struct price *price; /* sorted by model */
    size_t n;
};

/* Reads the file. On failure returns -1, leaves *prices empty, and `why` says what is wrong in which line. */
int prices_read(const char *path, struct prices *prices, char *why, size_t why_size);
void prices_free(struct prices *prices);

/* Dollars for these tokens; false, and *dollars = 0, for a model that is not in the table. */
bool prices_cost(const struct prices *prices, const char *model, uint64_t prompt_tokens, uint64_t completion_tokens,
                 double *dollars);

#endif
