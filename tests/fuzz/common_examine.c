/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything that reads a segment, on any bytes, see common_examine.h. */
#define _GNU_SOURCE
#include "common_examine.h"

#include "common_base.h"
#include "exporter/dialect.h"
#include "exporter/encoder.h"
#include "exporter/merge.h"
#include "tools/dump.h"
#include <fcntl.h>
#include <libshm.h>
#include <libshm/reader.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MUST(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

enum { PAGE = 4096, MOST = 4 << 20 };

static int file = -1;

/* One file for all runs. Half of the serials are locked: these processes and attaches live. */
static void open_file(void)
{
    char path[64];
    file = memfd_create("fuzz", MFD_CLOEXEC);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int locks = open(path, O_RDWR | O_CLOEXEC);
    MUST(file >= 0 && locks >= 0);
    for (uint64_t serial = 1; serial <= BASE_SERIALS; serial += 2) {
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
        lock.l_start = (off_t)(LIBSHM_SLOT_LOCK + serial);
        MUST(fcntl(locks, F_OFD_SETLK, &lock) == 0);
        lock.l_start = (off_t)(LIBSHM_ATTACH_LOCK + serial);
        MUST(fcntl(locks, F_OFD_SETLK, &lock) == 0);
    }
}

/* The file gets these bytes. Only pages that differ are written: an input changes few of them. */
static void fill_file(const uint8_t *bytes, size_t length)
{
    static uint8_t *written; /* what is in the file, of the size `size` */
    static size_t size;
    if (!written)
        MUST((written = calloc(1, MOST)));
    if (length != size)
        MUST(ftruncate(file, (off_t)length) == 0);
    if (length < size)
        memset(written + length, 0, size - length);
    size = length;
    for (size_t at = 0; at < length; at += PAGE) {
        size_t n = length - at < PAGE ? length - at : PAGE;
        if (memcmp(written + at, bytes + at, n) != 0)
            MUST(pwrite(file, bytes + at, n, (off_t)at) == (ssize_t)n);
        memcpy(written + at, bytes + at, n);
    }
}

/* ---- what a snapshot promises ---- */

static int text_sound(const char *text, size_t most)
{
    size_t length = strlen(text), n;
    uint32_t code;
    if (length > most)
        return 0;
    for (; length; text += n, length -= n)
        if ((n = utf8_character(text, length, &code)) == 0)
            return 0;
    return 1;
}

static int name_sound(const char *name, size_t most, const char *also)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t length = strlen(name), n = 0;
    while (n < length && (strchr(letters, name[n]) || strchr(also, name[n]) || (n && name[n] >= '0' && name[n] <= '9')))
        n++;
    return length > 0 && length <= most && n == length;
}

static void look_at_series(const libshm_family_view *family, const libshm_series_view *series)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < family->n_labels; i++)
        MUST(text_sound(series->label_values[i], LIBSHM_MAX_LABEL_VALUE));
    if (family->type != LIBSHM_TYPE_HISTOGRAM && family->type != LIBSHM_TYPE_SUMMARY)
        return;
    MUST(series->buckets);
    for (uint32_t i = 0; i <= family->n_bounds; i++)
        count += series->buckets[i].integer;
    MUST(count == series->count);
}

static void look_at_family(const libshm_family_view *family)
{
    MUST(name_sound(family->name, LIBSHM_MAX_NAME, ":"));
    MUST(text_sound(family->help, LIBSHM_MAX_HELP));
    MUST(text_sound(family->unit, LIBSHM_MAX_UNIT));
    MUST(family->type >= LIBSHM_TYPE_COUNTER && family->type <= LIBSHM_TYPE_UNKNOWN);
    MUST(family->gauge_mode <= LIBSHM_GAUGE_ALL);
    MUST(family->n_labels <= LIBSHM_MAX_LABELS && family->n_bounds <= LIBSHM_MAX_BOUNDS);
    for (uint32_t i = 0; i < family->n_labels; i++) {
        MUST(name_sound(family->label_names[i], LIBSHM_MAX_LABEL_NAME, ""));
        MUST(strcmp(family->label_names[i], "le") != 0 && strncmp(family->label_names[i], "__", 2) != 0);
        for (uint32_t k = 0; k < i; k++)
            MUST(strcmp(family->label_names[i], family->label_names[k]) != 0);
    }
    for (uint32_t i = 0; i < family->n_bounds; i++)
        MUST(__builtin_isfinite(family->bounds[i]) && (i == 0 || family->bounds[i - 1] < family->bounds[i]));
    for (size_t i = 0; i < family->n_series; i++)
        look_at_series(family, &family->series[i]);
}

static void look_at(const libshm_snapshot *snapshot)
{
    size_t series = 0;
    for (size_t i = 0; i < snapshot->n_families; i++) {
        MUST(i == 0 || strcmp(snapshot->families[i - 1].name, snapshot->families[i].name) < 0);
        look_at_family(&snapshot->families[i]);
        series += snapshot->families[i].n_series;
    }
    MUST(series == snapshot->n_series);
    MUST(memchr(snapshot->first_problem, 0, sizeof snapshot->first_problem));
    MUST((!snapshot->skipped_families && !snapshot->skipped_series) || snapshot->first_problem[0]);
    MUST(snapshot->n_alive <= snapshot->n_processes);
}

/* ---- what is printed ---- */

/* The labels of a sample line, from after the '{'. After the '}', or NULL. */
static const char *after_labels(const char *at, const char *end)
{
    while (at < end && *at != '}') {
        while (at < end && *at != '=')
            at++;
        if (end - at < 3 || at[1] != '"')
            return NULL;
        for (at += 2; at < end && *at != '"'; at++) {
            if (*at == '\\' && (++at == end || !strchr("\\\"n", *at)))
                return NULL;
        }
        if (at == end)
            return NULL;
        at++;
        if (at < end && *at == ',')
            at++;
    }
    return at < end ? at + 1 : NULL;
}

/* Each line is a comment that announces something or a sample with one value: nothing was injected. */
static void lines_sound(const char *text, size_t size)
{
    if (size == 0)
        return;
    const char *end = text + size;
    MUST(end[-1] == '\n');
    while (text < end) {
        const char *stop = memchr(text, '\n', (size_t)(end - text)), *at = text;
        MUST(stop);
        if (*text == '#') {
            MUST(strncmp(text, "# HELP ", 7) == 0 || strncmp(text, "# TYPE ", 7) == 0 ||
                 strncmp(text, "# UNIT ", 7) == 0 || strncmp(text, "# EOF\n", 6) == 0);
        } else {
            while (at < stop && *at != '{' && *at != ' ')
                at++;
            MUST(at > text && at < stop);
            if (*at == '{')
                at = after_labels(at + 1, stop);
            MUST(at && at < stop && *at == ' ' && strspn(at + 1, "0123456789+-.eInfNa") == (size_t)(stop - at - 1));
        }
        text = stop + 1;
    }
}

static void encode(const libshm_snapshot *snapshot, uint64_t layout)
{
    static const struct dialect dialects[] = {
        {.header = dialect_text_header, .end = ""},
        {.header = dialect_openmetrics_header, .end = "# EOF\n", .openmetrics = true, .created = true},
    };
    static const struct selection all;
    struct source source = {.segment = "s",
                            .name = "s",
                            .identity = 1,
                            .layout = layout,
                            .created_ns = snapshot->created_ns,
                            .families = snapshot->families,
                            .n_families = snapshot->n_families};
    struct merger *merger = merger_new();
    const struct merged *merged = merger ? merger_merge(merger, &source, 1) : NULL;
    for (size_t i = 0; merged && i < 2; i++) {
        struct buffer out = {0};
        struct encoder *encoder = encoder_new_text(&dialects[i]);
        MUST(encoder && encoder->encode(encoder, merged, &source, &all, &out));
        lines_sound(out.data, out.size);
        encoder->free(encoder);
        buffer_free(&out);
    }
    merger_free(merger);
}

static void print(const libshm_snapshot *snapshot, const uint8_t *bytes, size_t length)
{
    struct dump dump = {.path = "fuzz", .snapshot = snapshot, .image = {bytes, length}, .show_cells = 1};
    char *text = NULL;
    size_t size = 0;
    dump.header = image_header(&dump.image);
    if (!dump.header)
        return;
    FILE *out = open_memstream(&text, &size);
    MUST(out && dump_facts(&dump, file) == 0);
    dump_text(&dump, out);
    MUST(fflush(out) == 0);
    for (size_t i = 0; i < size; i++)
        MUST((unsigned char)text[i] >= 0x20 || text[i] == '\n');
    rewind(out);
    dump_prometheus(&dump, out);
    MUST(fflush(out) == 0);
    lines_sound(text, size);
    fclose(out);
    free(text);
    free(dump.attaches);
}

void examine(const uint8_t *bytes, const uint8_t *later, size_t length)
{
    char why[160];
    libshm_reader *reader;
    const libshm_snapshot *snapshot;
    if (file < 0)
        open_file();
    if (length > MOST)
        return;
    int verdict = libshm_validate(bytes, length, why, sizeof why);
    MUST(verdict <= 0 && memchr(why, 0, sizeof why));
    fill_file(bytes, length);
    if (libshm_reader_open_fd(fcntl(file, F_DUPFD_CLOEXEC, 0), "fuzz", &reader) != 0) {
        MUST(!reader && *libshm_error_detail());
        return;
    }
    for (int pass = 0; pass < 2; pass++) {
        if (libshm_reader_snapshot(reader, &snapshot) == 0) {
            look_at(snapshot);
            encode(snapshot, snapshot->layout_version);
            print(snapshot, bytes, length);
        }
        if (!later)
            break;
        bytes = later;
        fill_file(bytes, length);
    }
    libshm_reader_close(reader);
}
