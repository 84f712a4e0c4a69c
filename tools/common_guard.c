/* SPDX-License-Identifier: Apache-2.0
 *
 * A guard for reading mapped files of others: whoever may write to a file may truncate it, and the kernel then raises
 * SIGBUS at the next access. Only programs may own that signal, so this is not in the library. */
#include "common.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

static sigjmp_buf way_out;
static volatile sig_atomic_t armed;

static void on_sigbus(int signal_number)
{
    if (armed)
        siglongjmp(way_out, 1);
    /* Not ours: the fault comes again and ends the program. */
    signal(signal_number, SIG_DFL);
}

int guarded(void (*body)(void *), void *context)
{
    struct sigaction action, before;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_sigbus;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before);
    volatile int result = -1;
    if (sigsetjmp(way_out, 1) == 0) {
        armed = 1;
        body(context);
        result = 0;
    }
    armed = 0;
    sigaction(SIGBUS, &before, NULL);
    return result;
}
