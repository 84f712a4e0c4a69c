/* SPDX-License-Identifier: Apache-2.0
 *
 *     library LIBSHM.SO ROUNDS
 *
 * A program that is not linked with the library loads it, opens a segment, counts, closes and unloads, over and over,
 * in four threads. (The library asks to stay: its fork handlers and mappings outlive it.) Exit code 0: the count is
 * exact. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <libshm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4 };

static const char *path;
static long rounds;

#define SYMBOL(name)                                                                                                   \
    __typeof__(name) *name##_;                                                                                         \
    do {                                                                                                               \
        void *symbol_ = dlsym(library, #name);                                                                         \
        if (!symbol_) {                                                                                                \
            fprintf(stderr, "library: %s\n", dlerror());                                                               \
            return 1;                                                                                                  \
        }                                                                                                              \
        memcpy(&name##_, &symbol_, sizeof symbol_);                                                                    \
    } while (0)

/* Adds `amount` to the counter and says in *value what it is then. 0 if all of it worked. */
static int load_count_unload(uint64_t amount, double *value)
{
    libshm_segment *segment;
    libshm_family *family;
    libshm_counter counter;
    const libshm_metric metric = {
        .type = LIBSHM_TYPE_COUNTER, .name = "l_total", .help = "A test.", .labels = LIBSHM_LABELS("a")};
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "library: %s\n", dlerror());
        return 1;
    }
    SYMBOL(libshm_open_abi);
    SYMBOL(libshm_close);
    SYMBOL(libshm_family_define);
    SYMBOL(libshm_counter_get);
    SYMBOL(libshm_counter_add_with);
    SYMBOL(libshm_counter_value);
    if (libshm_open_abi_("library", NULL, LIBSHM_HOT_ABI, &segment) != 0 ||
        libshm_family_define_(segment, &metric, &family) != 0 ||
        libshm_counter_get_(family, LIBSHM_VALUES("x"), &counter) != 0)
        return 1;
    libshm_counter_add_with_(family, LIBSHM_VALUES("x"), amount);
    *value = libshm_counter_value_(&counter);
    libshm_close_(segment);
    return dlclose(library);
}

static void *loop(void *unused)
{
    double value;
    (void)unused;
    for (long i = 0; i < rounds; i++)
        if (load_count_unload(7, &value) != 0) {
            fprintf(stderr, "library: round %ld failed\n", i);
            exit(1);
        }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];
    double value, right;
    rounds = argc == 3 ? strtol(argv[2], NULL, 10) : 0;
    if (rounds <= 0) {
        fprintf(stderr, "usage: library LIBSHM.SO ROUNDS\n");
        return 2;
    }
    path = argv[1];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, loop, NULL);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    right = 7.0 * THREADS * (double)rounds;
    if (load_count_unload(0, &value) != 0 || value < right || value > right) {
        fprintf(stderr, "library: %g and should be %g\n", value, right);
        return 1;
    }
    printf("%ld loads of the library\n", THREADS * rounds);
    return 0;
}
