/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that survive SIGBUS, see guard.h. */
#include "guard.h"

#include <setjmp.h>
#include <signal.h>
#include <stddef.h>

static _Thread_local sigjmp_buf way_out;
static _Thread_local volatile sig_atomic_t armed;

static void on_fault(int number)
{
    if (armed) {
        armed = 0;
        siglongjmp(way_out, 1);
    }
    signal(number, SIG_DFL); /* the instruction faults again, and that is the end */
}

bool guard_install(void)
{
    struct sigaction action = {.sa_handler = on_fault};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) == 0;
}

int guard_call(int (*call)(void *context), void *context)
{
    if (sigsetjmp(way_out, 1))
        return GUARD_FAULT;
    armed = 1;
    int result = call(context);
    armed = 0;
    return result;
}
