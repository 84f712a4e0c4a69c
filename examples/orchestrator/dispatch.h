/* SPDX-License-Identifier: Apache-2.0
 *
 * The dispatch loop of the parent: runs of tasks, one after another, handed to the workers. */
#ifndef ORCHESTRATOR_DISPATCH_H
#define ORCHESTRATOR_DISPATCH_H

#include "pool.h"

#include <signal.h>

#define DISPATCH_RUN_IDS 50 /* then they start again: run_id is a label */

struct dispatch_options {
    double seconds; /* 0: until *stop */
    bool chaos;     /* kill workers all the while */
    uint64_t seed;
    const volatile sig_atomic_t *stop; /* set by a handler of a signal that is blocked but in the loop's waiting */
};

/* Returns 0, or -1 when workers could not be replaced. */
int dispatch_loop(struct pool *pool, const struct dispatch_options *options);

#endif
