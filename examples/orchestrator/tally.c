/* SPDX-License-Identifier: Apache-2.0
 *
 * Tallies: a table of (series, total) in shared anonymous memory. */
#define _GNU_SOURCE
#include "tally.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TALLY_LABELS  8
#define TALLY_ENTRIES 511

struct tally_entry {
    double total;
    char series[248]; /* name{label="value",...} */
};

struct tally {
    uint32_t used;    /* entries that are complete */
    uint32_t dropped; /* additions that found no room */
    char padding[sizeof(struct tally_entry) - 8];
    struct tally_entry entry[TALLY_ENTRIES];
};

struct tally *tally_new(void)
{
    struct tally *tally = mmap(NULL, sizeof(struct tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return tally == MAP_FAILED ? NULL : tally;
}

void tally_free(struct tally *tally)
{
    if (tally)
        munmap(tally, sizeof(*tally));
}

void tally_before_fork(struct tally *tally)
{
    madvise(tally, sizeof(*tally), MADV_DOFORK);
}

void tally_after_fork(struct tally *tally)
{
    madvise(tally, sizeof(*tally), MADV_DONTFORK);
}

/* Writes `value` with the escapes of the exposition format. Returns false if it does not fit. */
static bool put_escaped(char **at, const char *end, const char *value)
{
    for (; *value; value++) {
        char escape = *value == '\n' ? 'n' : *value == '"' || *value == '\\' ? *value : 0;
        if (end - *at < 3)
            return false;
        if (escape)
            *(*at)++ = '\\';
        *(*at)++ = escape ? escape : *value;
    }
    return true;
}

static bool put_plain(char **at, const char *end, const char *text)
{
    size_t length = strlen(text);
    if ((size_t)(end - *at) <= length)
        return false;
    memcpy(*at, text, length);
    *at += length;
    return true;
}

/* Builds the name of a series, labels sorted. Returns false if it does not fit. */
static bool build_series(char *series, size_t size, const char *name, const char *const *labels,
                         const char *const *values)
{
    unsigned order[TALLY_LABELS], n = 0;
    for (; labels && labels[n]; n++) {
        unsigned place = n;
        if (n == TALLY_LABELS || !values || !values[n])
            return false;
        for (; place > 0 && strcmp(labels[order[place - 1]], labels[n]) > 0; place--)
            order[place] = order[place - 1];
        order[place] = n;
    }
    char *at = series;
    const char *end = series + size - 2; /* room for } and NUL */
    bool fits = put_plain(&at, end, name);
    for (unsigned i = 0; fits && i < n; i++)
        fits = put_plain(&at, end, i ? "," : "{") && put_plain(&at, end, labels[order[i]]) &&
               put_plain(&at, end, "=\"") && put_escaped(&at, end, values[order[i]]) && put_plain(&at, end, "\"");
    if (n)
        *at++ = '}';
    *at = '\0';
    return fits;
}

void tally_add(struct tally *tally, const char *name, const char *const *labels, const char *const *values, double v)
{
    char series[sizeof(tally->entry[0].series)];
    uint32_t used = tally->used, i = 0;
    bool fits = build_series(series, sizeof(series), name, labels, values);

    while (fits && i < used && strcmp(tally->entry[i].series, series) != 0)
        i++;
    if (!fits || i == TALLY_ENTRIES) {
        tally->dropped++;
        return;
    }
    struct tally_entry *entry = &tally->entry[i];
    if (i < used) {
        double total = entry->total + v;
        __atomic_store(&entry->total, &total, __ATOMIC_RELEASE);
    } else { /* a new one counts when `used` says so */
        entry->total = v;
        memcpy(entry->series, series, sizeof(series));
        __atomic_store_n(&tally->used, used + 1, __ATOMIC_RELEASE);
    }
}

static int compare_series(const void *a, const void *b)
{
    return strcmp(((const struct tally_entry *)a)->series, ((const struct tally_entry *)b)->series);
}

/* The shortest decimal that reads back as the same double. */
static void print_value(FILE *out, double v)
{
    char text[32];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    fprintf(out, "%s\n", text);
}

int tally_print(FILE *out, struct tally *const *tallies, size_t n)
{
    size_t count = 0;
    int status = 0;
    struct tally_entry *all = calloc(n ? n * TALLY_ENTRIES : 1, sizeof(*all));
    if (!all)
        return -1;
    for (size_t i = 0; i < n; i++) {
        uint32_t used = __atomic_load_n(&tallies[i]->used, __ATOMIC_ACQUIRE);
        memcpy(all + count, tallies[i]->entry, used * sizeof(*all));
        count += used;
        if (tallies[i]->dropped)
            status = -1;
    }
    qsort(all, count, sizeof(*all), compare_series);
    for (size_t i = 0, next; i < count; i = next) {
        double total = all[i].total;
        for (next = i + 1; next < count && compare_series(&all[i], &all[next]) == 0; next++)
            total += all[next].total;
        fprintf(out, "%s ", all[i].series);
        print_value(out, total);
    }
    free(all);
    return status;
}

double tally_total(struct tally *const *tallies, size_t n, const char *prefix)
{
    double total = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t used = __atomic_load_n(&tallies[i]->used, __ATOMIC_ACQUIRE);
        for (uint32_t e = 0; e < used; e++)
            total += strncmp(tallies[i]->entry[e].series, prefix, strlen(prefix)) == 0 ? tallies[i]->entry[e].total : 0;
    }
    return total;
}

double tally_exact(double v)
{
    return (double)(int64_t)(v * 0x1p30 + 0.5) * 0x1p-30;
}
