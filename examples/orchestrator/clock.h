/* SPDX-License-Identifier: Apache-2.0
 *
 * Milliseconds on a clock that nobody sets. */
#ifndef ORCHESTRATOR_CLOCK_H
#define ORCHESTRATOR_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static inline void sleep_ms(long milliseconds) /* less than 1000 */
{
    nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL);
}

#endif
