/* SPDX-License-Identifier: Apache-2.0
 *
 * What the exporter counts of itself, from any thread. */
#ifndef EXPORTER_STATISTICS_H
#define EXPORTER_STATISTICS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum answer {
    ANSWER_OK,
    ANSWER_NOT_MODIFIED,
    ANSWER_BAD_REQUEST,
    ANSWER_UNAUTHORIZED,
    ANSWER_NOT_FOUND,
    ANSWER_METHOD,
    ANSWER_UNAVAILABLE,
    ANSWERS
};

struct statistics {
    _Atomic uint64_t requests[ANSWERS];
    _Atomic uint64_t in_flight; /* requests for metrics that are being answered */
};

/* The HTTP status of an answer. */
static inline unsigned answer_status(enum answer answer)
{
    static const unsigned status[ANSWERS] = {200, 304, 400, 401, 404, 405, 503};
    return status[answer];
}

#endif
