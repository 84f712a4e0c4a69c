/* SPDX-License-Identifier: Apache-2.0
 *
 *     loop PLUGIN... ROUNDS
 *
 * Each PLUGIN (copies of one) has a thread that loads it, updates through it and unloads it, over and over, while two
 * more threads update the same metrics all along. Exit code 0: every count is exact. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin.h"

enum { STEADY = 2 };

static struct handles handles;
static long rounds;
static atomic_bool stop;
static atomic_ulong direct;

static void *load_update_unload(void *plugin)
{
    for (long i = 0; i < rounds; i++) {
        plugin_update_function *function;
        void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL),
             *symbol = library ? dlsym(library, "plugin_update") : NULL;
        if (!symbol) {
            fprintf(stderr, "loop: %s\n", dlerror());
            exit(1);
        }
        memcpy(&function, &symbol, sizeof function);
        for (int kind = 0; kind < UPDATE_KINDS; kind++)
            function(&handles, kind);
        dlclose(library);
    }
    return NULL;
}

static void *update(void *unused)
{
    unsigned long done = 0;
    (void)unused;
    for (; !stop; done++) {
        libshm_counter_add(&handles.counter, 3);
        libshm_histogram_observe(&handles.histogram, 2);
    }
    direct += done;
    return NULL;
}

static int expect(const char *what, double value, double right)
{
    if (!(value < right) && !(value > right))
        return 0;
    fprintf(stderr, "loop: %s is %.17g and should be %.17g\n", what, value, right);
    return 1;
}

static int plugins(char **paths, int n)
{
    libshm_segment *segment;
    pthread_t loaders[16], steady[STEADY];
    if (n > 16 || libshm_open("plugins", NULL, &segment) != 0 ||
        libshm_counter_define(segment, &(libshm_metric){.name = "plugin_total", .help = "A test."}, &handles.counter) !=
            0 ||
        libshm_histogram_define(segment, &(libshm_metric){.name = "p", .help = "A test.", .LIBSHM_BOUNDS(1, 2, 3)},
                                &handles.histogram) != 0 ||
        libshm_gauge_define(segment, &(libshm_metric){.name = "g", .help = "A test.", .gauge_mode = LIBSHM_GAUGE_SUM},
                            &handles.gauge) != 0) {
        fprintf(stderr, "loop: %s\n", libshm_error_detail());
        return 1;
    }
    for (int i = 0; i < STEADY; i++)
        pthread_create(&steady[i], NULL, update, NULL);
    for (int i = 0; i < n; i++)
        pthread_create(&loaders[i], NULL, load_update_unload, paths[i]);
    for (int i = 0; i < n; i++)
        pthread_join(loaders[i], NULL);
    stop = true;
    for (int i = 0; i < STEADY; i++)
        pthread_join(steady[i], NULL);
    uint64_t count;
    double sum, loads = (double)n * (double)rounds;
    libshm_histogram_value(&handles.histogram, &count, &sum);
    printf("%.0f loads of a plugin beside %lu updates\n", loads, (unsigned long)direct);
    int wrong = expect("the counter", libshm_counter_value(&handles.counter), loads * 3.5 + 3.0 * (double)direct) |
                expect("the histogram's count", (double)count, loads + (double)direct) |
                expect("the histogram's sum", sum, 2 * (loads + (double)direct)) |
                expect("the gauge", libshm_gauge_value(&handles.gauge), loads);
    libshm_close(segment);
    return wrong;
}

int main(int argc, char **argv)
{
    rounds = argc > 2 ? strtol(argv[argc - 1], NULL, 10) : 0;
    if (rounds <= 0) {
        fprintf(stderr, "usage: loop PLUGIN... ROUNDS\n");
        return 2;
    }
    return plugins(argv + 1, argc - 2);
}
