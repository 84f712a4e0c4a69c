/* SPDX-License-Identifier: Apache-2.0
 *
 * badshm SEGMENT list               the numbered kinds of damage: number, name, reach, families hit, found
 * (tab-separated) badshm SEGMENT FIRST LAST DIR     writes copies of the segment with damage FIRST to LAST, as
 * DIR/d<number>
 *
 * The segment is one that `base` has made. Most kinds come from the table in fields.h: every field, with each of the
 * values that are wrong in an interesting way; the rest are texts, bounds, truncations and whole pages. */
#include "fields.h"
#include "tools/common.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum unit { U, B, P, T, N, I, G };
enum reach { IDENTITY, NOTHING, ENTRY, VICTIMS, LIVE, GROUP, ANYTHING };
enum found { ALWAYS, OUTSIDE, NEVER };
static const char *const reach_name[] = {"IDENTITY", "NOTHING", "ENTRY", "VICTIMS", "LIVE", "GROUP", "ANYTHING"};
static const char *const found_name[] = {"ALWAYS", "OUTSIDE", "NEVER"};

struct field {
    const char *name;
    size_t offset, size, width;
    enum unit unit;
    enum reach reach;
    enum found found;
};
#define FIELD(structure, member, width, unit, reach, found)                                                            \
    {#structure "." #member,                                                                                           \
     offsetof(struct structure, member),                                                                               \
     sizeof(((struct structure *)0)->member),                                                                          \
     width,                                                                                                            \
     unit,                                                                                                             \
     reach,                                                                                                            \
     found},
#define FIELDS(name, list) static const struct field name[] = {list(FIELD){NULL, 0, 0, 0, U, NOTHING, NEVER}}
FIELDS(header_fields, HEADER_FIELDS);
FIELDS(group_fields, GROUP_FIELDS);
FIELDS(family_fields, FAMILY_FIELDS);
FIELDS(series_fields, SERIES_FIELDS);
FIELDS(slot_fields, SLOT_FIELDS);
FIELDS(live_page_fields, LIVE_PAGE_FIELDS);
FIELDS(attach_fields, ATTACH_FIELDS);
FIELDS(hold_page_fields, HOLD_PAGE_FIELDS);
FIELDS(cell_fields, CELL_FIELDS);

static struct image image;
static const struct libshm_header *header;
static unsigned first_wanted, last_wanted, number;
static const char *directory; /* NULL: list */

/* ---- one kind of damage ---- */

static void reseal(unsigned char *copy)
{
    uint32_t crc = crc32c(copy, offsetof(struct libshm_header, checksum));
    memcpy(copy + offsetof(struct libshm_header, checksum), &crc, sizeof crc);
}

static void write_copy(uint64_t offset, const void *bytes, size_t size, size_t length, int seal)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/d%u", directory, number);
    unsigned char *copy = malloc(image.length);
    FILE *file = fopen(path, "wb");
    if (!copy || !file)
        exit(2);
    memcpy(copy, image.bytes, image.length);
    /* Younger than the sound one, whose definitions are to count where an exporter sees both. */
    uint64_t created = header->created_ns + number;
    memcpy(copy + offsetof(struct libshm_header, created_ns), &created, sizeof created);
    reseal(copy);
    memcpy(copy + offset, bytes, size);
    if (seal)
        reseal(copy);
    if (fwrite(copy, 1, length, file) != length || fclose(file) != 0)
        exit(2);
    free(copy);
}
static void kind(const char *name, const char *how, const char *hit, enum reach reach, enum found found,
                 uint64_t offset, const void *bytes, size_t size, size_t length, int seal)
{
    if (offset + size > image.length || (length == image.length && memcmp(image.bytes + offset, bytes, size) == 0))
        return; /* no damage */
    number++;
    if (!directory)
        printf("%u\t%s/%s%s\t%s\t%s\t%s\n", number, name, how, seal ? "/sealed" : "", reach_name[reach], hit,
               found_name[found]);
    else if (number >= first_wanted && number <= last_wanted)
        write_copy(offset, bytes, size, length, seal);
}

static void change(const char *name, const char *how, const char *hit, enum reach reach, enum found found,
                   uint64_t offset, const void *bytes, size_t size)
{
    kind(name, how, hit, reach, found, offset, bytes, size, image.length, 0);
}

/* ---- fields ---- */

/* An instance of a structure, and another one of the same kind (0: none). */
struct place {
    const char *what, *hit;
    uint64_t offset, other;
    uint32_t number; /* of the entry */
};

static uint64_t load(uint64_t offset, size_t width)
{
    uint64_t value = 0;
    memcpy(&value, image.bytes + offset, width); /* little-endian */
    return value;
}

static void set(const struct field *field, const struct place *place, uint64_t offset, const char *name,
                const char *how, uint64_t value)
{
    enum found found = field->found;
    enum reach reach = field->reach;
    uint64_t max = field->width == 8 ? UINT64_MAX : (UINT64_C(1) << 8 * field->width) - 1;
    value &= max;
    if (found == OUTSIDE && value != max)
        found = NEVER;
    change(name, how, place->hit, reach, found, offset, &value, field->width);
    if (reach == IDENTITY && field->offset != offsetof(struct libshm_header, checksum)) /* as if it were meant */
        kind(name, how, place->hit, ANYTHING, found, offset, &value, field->width, image.length, 1);
}

static void damage_element(const struct field *field, const struct place *place, uint64_t offset, const char *name)
{
    uint64_t now = load(offset, field->width), top = UINT64_C(1) << (8 * field->width - 1);
    set(field, place, offset, name, "zero", 0);
    set(field, place, offset, name, "one", 1);
    set(field, place, offset, name, "max", UINT64_MAX);
    set(field, place, offset, name, "plus-one", now + 1);
    set(field, place, offset, name, "minus-one", now - 1);
    set(field, place, offset, name, "top-bit", now ^ top);
    set(field, place, offset, name, "huge", top >> 1);
    if (place->other)
        set(field, place, offset, name, "overlapping", load(place->other + (offset - place->offset), field->width));
    uint64_t unit = field->unit == P ? LIBSHM_PAGE : field->unit == T ? 16 : 1;
    switch (field->unit) {
    case B:
    case P:
    case T:
        set(field, place, offset, name, "self", place->offset / unit);
        set(field, place, offset, name, "end", image.length / unit);
        set(field, place, offset, name, "last", (image.length - 1) / unit);
        set(field, place, offset, name, "group", *(const uint64_t *)table_entry(&image, LIBSHM_TABLE_GROUPS, 0) / unit);
        break;
    case N:
    case I:
        set(field, place, offset, name, "self", place->number + (field->unit == I));
        break;
    case G:
        set(field, place, offset, name, "full", now | 0xff);
        set(field, place, offset, name, "beyond", now | 0xffff);
        break;
    case U:
        break;
    }
}

static void damage(const struct field *fields, const struct place *place)
{
    char name[128];
    for (const struct field *field = fields; field->name; field++) {
        size_t n = field->size / field->width;
        for (size_t i = 0; i<n; i += n> 1 ? n - 1 : 1) { /* of an array, the first and the last element */
            snprintf(name, sizeof name, n > 1 ? "%s[%zu]%s" : "%s%.0zu%s", field->name, i, place->what);
            damage_element(field, place, place->offset + field->offset + i * field->width, name);
        }
    }
}

/* ---- where things are ---- */

static uint64_t family_at(const char *name, uint32_t *at)
{
    for (uint32_t n = 0; n < table_count(&image, LIBSHM_TABLE_FAMILIES); n++) {
        const struct libshm_family_entry *family = table_entry(&image, LIBSHM_TABLE_FAMILIES, n);
        const char *text = (const char *)image.bytes + (uint64_t)family->text * 16;
        if (*(const uint16_t *)(const void *)text == strlen(name) &&
            memcmp(text + (3 + family->n_labels) * 2, name, strlen(name)) == 0) {
            *at = n;
            return table_entry_offset(&image, LIBSHM_TABLE_FAMILIES, n);
        }
    }
    fprintf(stderr, "badshm: there is no family %s\n", name);
    exit(2);
}

/* The first series of a family in a state. */
static uint64_t series_at(uint32_t family, uint32_t state, uint32_t *at)
{
    for (uint32_t n = 0; n < table_count(&image, LIBSHM_TABLE_SERIES); n++) {
        const struct libshm_series_entry *series = table_entry(&image, LIBSHM_TABLE_SERIES, n);
        if (series->family == family && LIBSHM_STATUS_STATE(series->status) == state) {
            *at = n;
            return table_entry_offset(&image, LIBSHM_TABLE_SERIES, n);
        }
    }
    return 0;
}

/* Names of the families that have cells in a page group, with commas. */
static char *families_in(uint32_t group)
{
    char *list = calloc(1, 65536);
    for (uint32_t f = 0; list && f < table_count(&image, LIBSHM_TABLE_FAMILIES); f++) {
        const struct libshm_family_entry *family = table_entry(&image, LIBSHM_TABLE_FAMILIES, f);
        const char *text = (const char *)image.bytes + (uint64_t)family->text * 16;
        for (uint32_t n = 0; n < table_count(&image, LIBSHM_TABLE_SERIES); n++) {
            const struct libshm_series_entry *series = table_entry(&image, LIBSHM_TABLE_SERIES, n);
            if (series->family != f || series->group != group)
                continue;
            sprintf(list + strlen(list), "%.*s,", *(const uint16_t *)(const void *)text,
                    text + (3 + family->n_labels) * 2);
            break;
        }
    }
    return list;
}

static uint64_t page_of(uint32_t page)
{
    return (uint64_t)page * LIBSHM_PAGE;
}

/* ---- texts ---- */

static void damage_string(const char *what, const char *hit, uint64_t offset, size_t length, int value)
{
    static const struct {
        const char *how, *bytes;
        int wrong; /* even in a label value, a help or a unit */
    } strings[] = {{"line-end", "\n", 0},
                   {"quote", "\"", 0},
                   {"backslash", "\\", 0},
                   {"escape", "\x1b", 0},
                   {"space", " ", 0},
                   {"brace", "}", 0},
                   {"sample", "\nx 1\n", 0},
                   {"latin-1", "\xff", 1},
                   {"cut-utf-8", "\xe2\x82", 1},
                   {"overlong", "\xc0\xae", 1},
                   {"surrogate", "\xed\xa0\x80", 1}};
    for (size_t i = 0; i < sizeof strings / sizeof *strings; i++)
        if (strlen(strings[i].bytes) <= length)
            change(what, strings[i].how, hit, ENTRY, strings[i].wrong || !value ? ALWAYS : NEVER, offset,
                   strings[i].bytes, strlen(strings[i].bytes));
    change(what, "nul", hit, ENTRY, ALWAYS, offset + length - 1, "", 1);
}

static void damage_lengths(const char *what, const char *hit, uint64_t offset, uint32_t n)
{
    static const struct field length = {"length", 0, 2, 2, U, ENTRY, ALWAYS};
    for (uint32_t i = 0; i < n; i++) {
        struct place place = {"", hit, offset + 2u * i, 0, 0};
        char name[64];
        snprintf(name, sizeof name, "%s.length[%" PRIu32 "]", what, i);
        damage_element(&length, &place, place.offset, name);
    }
}

static void damage_family_text(const char *family_name)
{
    static const char *const parts[] = {"name", "help", "unit", "label"};
    char what[128];
    uint32_t at;
    const struct libshm_family_entry *family = (const void *)(image.bytes + family_at(family_name, &at));
    uint64_t offset = (uint64_t)family->text * 16;
    uint32_t lengths = 3u + family->n_labels;
    snprintf(what, sizeof what, "text of %s", family_name);
    damage_lengths(what, family_name, offset, lengths);
    uint64_t text = offset + lengths * 2u;
    for (uint32_t i = 0; i < lengths; i++) {
        size_t length = load(offset + 2u * i, 2);
        snprintf(what, sizeof what, "%s of %s", parts[i < 3 ? i : 3], family_name);
        if (length)
            damage_string(what, family_name, text, length, i == 1 || i == 2);
        text += length;
    }
    uint64_t bounds = offset + ((text - offset + 7) & ~UINT64_C(7));
    const double wrong[] = {NAN, INFINITY, -INFINITY, 1e9, -1e9};
    const char *const hows[] = {"nan", "inf", "minus-inf", "too-large", "too-small"};
    for (uint32_t i = 0; i + 1 < family->n_bounds; i++) /* after the last one, a larger one would be right */
        for (size_t k = 0; k < 4 + (i > 0); k++) {
            snprintf(what, sizeof what, "bound %" PRIu32 " of %s", i, family_name);
            change(what, hows[k], family_name, ENTRY, ALWAYS, bounds + 8u * i, &wrong[k], 8);
        }
}

static void damage_series_text(const char *family_name)
{
    char what[128];
    uint32_t family_number, at;
    const struct libshm_family_entry *family = (const void *)(image.bytes + family_at(family_name, &family_number));
    const struct libshm_series_entry *series =
        (const void *)(image.bytes + series_at(family_number, LIBSHM_STATE_LIVE, &at));
    uint64_t offset = (uint64_t)series->text * 16, text = offset + family->n_labels * 2u;
    snprintf(what, sizeof what, "label values of %s", family_name);
    damage_lengths(what, family_name, offset, family->n_labels);
    for (uint32_t i = 0; i < family->n_labels; text += load(offset + 2u * i, 2), i++) {
        snprintf(what, sizeof what, "label value %" PRIu32 " of %s", i, family_name);
        damage_string(what, family_name, text, load(offset + 2u * i, 2), 1);
    }
}

/* ---- the structures ---- */

static void damage_groups(void)
{
    for (uint32_t n = 0; n < table_count(&image, LIBSHM_TABLE_GROUPS); n++) {
        char what[32];
        snprintf(what, sizeof what, " of group %" PRIu32, n);
        char *hit = families_in(n);
        damage(group_fields, &(struct place){what, hit, table_entry_offset(&image, LIBSHM_TABLE_GROUPS, n),
                                             table_entry_offset(&image, LIBSHM_TABLE_GROUPS, n ? 0 : 1), n});
        free(hit);
    }
}

static void damage_families(void)
{
    static const char *const names[] = {"requests_total", "seconds", "live_summed"};
    for (size_t i = 0; i < 3; i++) {
        char victim[64], bystander[64], what[128];
        uint32_t v, b, s, t;
        snprintf(victim, sizeof victim, "victim_%s", names[i]);
        snprintf(bystander, sizeof bystander, "bystander_%s", names[i]);
        uint64_t at = family_at(victim, &v), other = family_at(bystander, &b);
        snprintf(what, sizeof what, " of %s", victim);
        damage(family_fields, &(struct place){what, victim, at, other, v});
        snprintf(what, sizeof what, " of a series of %s", victim);
        at = series_at(v, LIBSHM_STATE_LIVE, &s);
        other = series_at(b, LIBSHM_STATE_LIVE, &t);
        damage(series_fields, &(struct place){what, victim, at, other, s});
        damage_family_text(victim);
    }
    damage_series_text("victim_requests_total");
    damage_series_text("victim_seconds");
}

/* Entries that nobody is shown: their fields are damaged, and nothing that is served may change. */
static void damage_idle_series(void)
{
    static const uint32_t states[] = {LIBSHM_STATE_FREE, LIBSHM_STATE_REMOVED};
    for (size_t i = 0; i < 2; i++) {
        uint32_t family, n;
        family_at("gone_total", &family);
        uint64_t at = series_at(family, states[i], &n);
        struct field fields[sizeof series_fields / sizeof *series_fields];
        memcpy(fields, series_fields, sizeof fields);
        for (struct field *field = fields; field->name; field++)
            field->found = field->offset == offsetof(struct libshm_series_entry, cells) ||
                                   field->offset == offsetof(struct libshm_series_entry, group) ||
                                   field->offset == offsetof(struct libshm_series_entry, n_cells)
                               ? ALWAYS
                               : NEVER;
        if (at)
            damage(fields, &(struct place){i ? " of a removed series" : " of a free series", "gone_total", at, 0, n});
    }
}

static void damage_processes(void)
{
    const struct libshm_slot_entry *slot = table_entry(&image, LIBSHM_TABLE_SLOTS, 0);
    const char *hit = "*live*";
    damage(slot_fields, &(struct place){" of slot 0", hit, table_entry_offset(&image, LIBSHM_TABLE_SLOTS, 0),
                                        table_entry_offset(&image, LIBSHM_TABLE_SLOTS, 1), 0});
    uint64_t live = page_of(slot->live_page);
    const struct libshm_live_page *page = (const void *)(image.bytes + live);
    damage(live_page_fields, &(struct place){" of the first live page", hit, live, page_of(page->next), 0});
    damage(live_page_fields, &(struct place){" of the second live page", hit, page_of(page->next), live, 0});
    for (uint32_t n = 0; n < table_count(&image, LIBSHM_TABLE_ATTACHES); n++) {
        const struct libshm_attach_entry *attach = table_entry(&image, LIBSHM_TABLE_ATTACHES, n);
        if (!attach->serial || !attach->holds)
            continue;
        damage(attach_fields,
               &(struct place){" of an attach", "", table_entry_offset(&image, LIBSHM_TABLE_ATTACHES, n), 0, n});
        damage(hold_page_fields, &(struct place){" of a hold page", "", page_of(attach->holds), live, 0});
    }
}

static void damage_cells(void)
{
    static const char *const names[] = {"victim_requests_total", "victim_seconds", "victim_temperature_celsius"};
    static const double wrong[] = {NAN, INFINITY, -INFINITY, -1};
    for (size_t i = 0; i < 3; i++) {
        uint32_t family, n;
        family_at(names[i], &family);
        const struct libshm_series_entry *series =
            (const void *)(image.bytes + series_at(family, LIBSHM_STATE_LIVE, &n));
        const struct libshm_group *group = table_entry(&image, LIBSHM_TABLE_GROUPS, series->group);
        uint64_t in_page = series->cells % LIBSHM_PAGE;
        for (uint32_t lane = 0; lane < 1u + group->atomic_lanes + group->cpu_lanes; lane++) {
            char what[128];
            uint64_t offset = group->base + page_of(lane) + in_page;
            snprintf(what, sizeof what, " of %s, page %" PRIu32 " of its group", names[i], lane);
            damage(cell_fields, &(struct place){what, names[i], offset, 0, 0});
            snprintf(what, sizeof what, "fractional of %s, page %" PRIu32 " of its group", names[i], lane);
            for (size_t k = 0; k < 4; k++)
                change(what, (const char *[]){"nan", "inf", "minus-inf", "negative"}[k], names[i], ENTRY, NEVER,
                       offset + 8, &wrong[k], 8);
        }
    }
}

/* Root pages: one word a leaf. */
static void damage_roots(void)
{
    for (uint32_t table = 0; table < LIBSHM_TABLES; table++) {
        char what[64];
        enum reach reach = table == LIBSHM_TABLE_ATTACHES ? NOTHING : table == LIBSHM_TABLE_SLOTS ? LIVE : ANYTHING;
        struct field word = {"root", 0, 4, 4, P, reach, ALWAYS};
        uint64_t root = page_of(header->tables[table].root);
        snprintf(what, sizeof what, "first leaf of the %s", table_name[table]);
        damage_element(&word, &(struct place){"", "*live*", root, root + 4, 0}, root, what);
        snprintf(what, sizeof what, "second leaf of the %s", table_name[table]);
        if (table == LIBSHM_TABLE_SERIES)
            damage_element(&word, &(struct place){"", "*live*", root + 4, root, 0}, root + 4, what);
    }
}

static void damage_index(void)
{
    static const struct field slot = {"index slot", 0, 8, 8, U, NOTHING, ALWAYS};
    uint32_t which = LIBSHM_INDEX_WHICH(header->index_word), done = 0;
    uint64_t at = page_of(header->index_page[which]);
    for (uint32_t i = 0; done < 3 && i < 1u << header->index_log2[which]; i++) {
        uint64_t value = load(at + 8u * i, 8);
        if (value == 0 || value == LIBSHM_INDEX_TOMBSTONE)
            continue;
        char what[32];
        snprintf(what, sizeof what, "index slot in use %" PRIu32, done++);
        damage_element(&slot, &(struct place){"", "", at + 8u * i, 0, 0}, at + 8u * i, what);
        uint64_t tombstone = LIBSHM_INDEX_TOMBSTONE;
        change(what, "tombstone", "", NOTHING, ALWAYS, at + 8u * i, &tombstone, 8);
    }
}

/* ---- pages and the end of the file ---- */

static void damage_page(const char *what, const char *hit, enum reach reach, uint64_t offset)
{
    unsigned char page[LIBSHM_PAGE];
    uint64_t random = UINT64_C(88172645463325252) + offset;
    memset(page, 0, sizeof page);
    change(what, "zeros", hit, reach, NEVER, offset, page, sizeof page);
    memset(page, 0xff, sizeof page);
    change(what, "ones", hit, reach, NEVER, offset, page, sizeof page);
    for (size_t i = 0; i < sizeof page; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        page[i] = (unsigned char)random;
    }
    change(what, "noise", hit, reach, NEVER, offset, page, sizeof page);
}

static void damage_pages(void)
{
    char what[64];
    const struct libshm_slot_entry *slot = table_entry(&image, LIBSHM_TABLE_SLOTS, 0);
    damage_page("page of the header", "", IDENTITY, 0);
    for (uint32_t table = 0; table < LIBSHM_TABLES; table++) {
        enum reach reach = table == LIBSHM_TABLE_ATTACHES ? NOTHING : table == LIBSHM_TABLE_SLOTS ? LIVE : ANYTHING;
        uint64_t root = page_of(header->tables[table].root);
        snprintf(what, sizeof what, "root page of the %s", table_name[table]);
        damage_page(what, "*live*", reach, root);
        snprintf(what, sizeof what, "leaf page of the %s", table_name[table]);
        damage_page(what, "*live*", reach, page_of((uint32_t)load(root, 4)));
    }
    damage_page("page of the index", "", NOTHING, page_of(header->index_page[LIBSHM_INDEX_WHICH(header->index_word)]));
    damage_page("a live page", "*live*", LIVE, page_of(slot->live_page));
    for (uint32_t n = 0; n < table_count(&image, LIBSHM_TABLE_GROUPS); n++) {
        const struct libshm_group *group = table_entry(&image, LIBSHM_TABLE_GROUPS, n);
        char *hit = families_in(n);
        for (uint32_t lane = 0; lane < 1u + group->atomic_lanes + group->cpu_lanes; lane++) {
            snprintf(what, sizeof what, "page %" PRIu32 " of group %" PRIu32, lane, n);
            damage_page(what, hit, GROUP, group->base + page_of(lane));
        }
        free(hit);
    }
}

/* The file ends before, at and after the edge of every page that is something's first. */
static void truncations(void)
{
    static const size_t in_header[] = {0, 1, 7, 8, 124, 127, 128, 4095};
    char how[32];
    for (size_t i = 0; i < sizeof in_header / sizeof *in_header; i++) {
        snprintf(how, sizeof how, "%zu", in_header[i]);
        kind("truncated", how, "*", ANYTHING, ALWAYS, 0, image.bytes, 0, in_header[i], 0);
    }
    for (uint64_t page = 1; page <= header->file_end / LIBSHM_PAGE; page++) {
        for (int k = -1; k <= 1; k++) {
            uint64_t length = page * LIBSHM_PAGE + (uint64_t)(int64_t)k;
            if (length >= image.length)
                continue;
            snprintf(how, sizeof how, "%" PRIu64, length);
            kind("truncated", how, "*", ANYTHING, ALWAYS, 0, image.bytes, 0, length, 0);
        }
    }
}

int main(int argc, char **argv)
{
    int listing = argc == 3 && strcmp(argv[2], "list") == 0;
    if (!listing && argc != 5) {
        fputs("usage: badshm SEGMENT list | SEGMENT FIRST LAST DIRECTORY\n", stderr);
        return 2;
    }
    tool_name = "badshm";
    int fd = segment_open(argv[1]);
    if (fd < 0 || image_copy(fd, &image) != 0 || !(header = image_header(&image)))
        return 2;
    if (!listing) {
        first_wanted = (unsigned)atoi(argv[2]);
        last_wanted = (unsigned)atoi(argv[3]);
        directory = argv[4];
    }
    damage(header_fields, &(struct place){"", "*live*", 0, 0, 0});
    damage_groups();
    damage_families();
    damage_idle_series();
    damage_processes();
    damage_cells();
    damage_roots();
    damage_index();
    damage_pages();
    truncations();
    return 0;
}
