/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line. */
#define _GNU_SOURCE
#include "options.h"
#include "pool.h"

#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <libshm.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define USAGE_ERROR 2
#define SECONDS_MAX 1e9

static const char help[] =
    "Usage: orchestrator [OPTION]...\n"
    "A demonstration of libshm: workers merge branches of a scratch git repository, call a stand-in for language\n"
    "models, and count what they do in a shared-memory segment.\n"
    "\n"
    "  --workers=N     worker processes, 1 to 64 (default 4)\n"
    "  --seconds=N     how long to run; 0, the default: until SIGTERM or SIGINT\n"
    "  --seed=N        of all random choices (default 1)\n"
    "  --segment=NAME  segment to count in (default orchestrator); an old one of that name is replaced\n"
    "  --truth=FILE    write what was counted, by the workers' own tallies, when all is done\n"
    "  --prices=FILE   price table (default: examples/orchestrator/prices.tsv)\n"
    "  --chaos         kill workers with SIGKILL all the while\n"
    "  --help          print this and exit\n"
    "  --version       print the version and exit\n"
    "\n"
    "The segment stays when it ends. Exit status: 0 done, 1 something failed, 2 wrong usage.\n";

static uint64_t parse_number(const char *option, const char *text, uint64_t least, uint64_t most)
{
    char *end;
    errno = 0;
    uint64_t number = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || number < least || number > most)
        errx(USAGE_ERROR, "--%s=%s: expected a whole number from %ju to %ju", option, text, (uintmax_t)least,
             (uintmax_t)most);
    return number;
}

static double parse_seconds(const char *text)
{
    char *end;
    double seconds = strtod(text, &end);
    if (*text < '0' || *text > '9' || *end || !(seconds <= SECONDS_MAX))
        errx(USAGE_ERROR, "--seconds=%s: expected a number of seconds, such as 10 or 0.5; 0 means without end", text);
    return seconds;
}

static const char *parse_path(const char *option, const char *text)
{
    if (!*text)
        errx(USAGE_ERROR, "--%s: expected the name of a file", option);
    return text;
}

void options_parse(int argc, char **argv, struct options *options)
{
    enum { WORKERS = 1, SECONDS, SEED, SEGMENT, TRUTH, PRICES, CHAOS, HELP, VERSION };
    static const struct option known[] = {
        {"workers", required_argument, NULL, WORKERS}, {"seconds", required_argument, NULL, SECONDS},
        {"seed", required_argument, NULL, SEED},       {"segment", required_argument, NULL, SEGMENT},
        {"truth", required_argument, NULL, TRUTH},     {"prices", required_argument, NULL, PRICES},
        {"chaos", no_argument, NULL, CHAOS},           {"help", no_argument, NULL, HELP},
        {"version", no_argument, NULL, VERSION},       {0},
    };
    *options = (struct options){.workers = 4, .seed = 1, .segment = "orchestrator"};
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case WORKERS:
            options->workers = (unsigned)parse_number("workers", optarg, 1, POOL_MAX);
            break;
        case SECONDS:
            options->seconds = parse_seconds(optarg);
            break;
        case SEED:
            options->seed = parse_number("seed", optarg, 0, UINT64_MAX);
            break;
        case SEGMENT:
            options->segment = optarg;
            break;
        case TRUTH:
            options->truth = parse_path("truth", optarg);
            break;
        case PRICES:
            options->prices = parse_path("prices", optarg);
            break;
        case CHAOS:
            options->chaos = true;
            break;
        case HELP:
            fputs(help, stdout);
            exit(fflush(stdout) == 0 ? 0 : 1);
        case VERSION:
            printf("orchestrator (libshm) %s\n", LIBSHM_VERSION);
            exit(fflush(stdout) == 0 ? 0 : 1);
        default: /* getopt_long has said what it does not like */
            fputs("Try 'orchestrator --help'.\n", stderr);
            exit(USAGE_ERROR);
        }
    }
    if (optind < argc)
        errx(USAGE_ERROR, "unexpected argument '%s'; try 'orchestrator --help'", argv[optind]);
}
