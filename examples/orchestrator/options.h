/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line. */
#ifndef ORCHESTRATOR_OPTIONS_H
#define ORCHESTRATOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    unsigned workers;
    double seconds; /* 0: until a signal */
    uint64_t seed;
    const char *segment;
    const char *truth;  /* NULL: none */
    const char *prices; /* NULL: look for it */
    bool chaos;
};

/* Reads the command line. Does not return after --help, --version, or an error (exit status 2). */
void options_parse(int argc, char **argv, struct options *options);

#endif
