/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying family entries: their words, their names and texts, their bounds. */
#include "check.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static int letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static int name_sound(const char *name, size_t length, size_t most, int colon)
{
    if (length == 0 || length > most)
        return 0;
    for (size_t i = 0; i < length; i++)
        if (!letter(name[i]) && !(colon && name[i] == ':') && !(i > 0 && name[i] >= '0' && name[i] <= '9'))
            return 0;
    return 1;
}

static int label_name_sound(const char *name, size_t length)
{
    if (!name_sound(name, length, LIBSHM_MAX_LABEL_NAME, 0) || (length >= 2 && memcmp(name, "__", 2) == 0))
        return 0;
    return !(length == 2 && memcmp(name, "le", 2) == 0) && !(length == 8 && memcmp(name, "quantile", 8) == 0);
}

static int text_sound(const char *text, size_t length)
{
    while (length) {
        uint32_t code;
        size_t n = utf8_character(text, length, &code);
        if (n == 0 || code == 0)
            return 0;
        text += n;
        length -= n;
    }
    return 1;
}

static void check_bounds(struct check *check, const struct libshm_family_entry *family, uint32_t number,
                         const unsigned char *bounds)
{
    double before = -INFINITY;
    for (uint32_t i = 0; i < family->n_bounds; i++) {
        double bound;
        memcpy(&bound, bounds + 8u * i, sizeof bound);
        if (!isfinite(bound) || bound <= before) {
            finding(check, check_offset(check, bounds + 8u * i),
                    "family %" PRIu32 ": bound %" PRIu32 ", %g, is not finite or not above the one before it", number,
                    i, bound);
            return;
        }
        before = bound;
    }
}

/* The text block: lengths, strings, bounds. */
static void check_text_block(struct check *check, const struct libshm_family_entry *family, uint32_t number)
{
    uint64_t from = check_offset(check, &family->text);
    uint32_t lengths = 3u + family->n_labels, used = lengths * 2u;
    uint32_t block = text_block_size(family->text_size);
    uint16_t length[3 + LIBSHM_MAX_LABELS];
    if (block == 0 || family->text_size < used) {
        finding(check, check_offset(check, &family->text_size),
                "family %" PRIu32 ": a text of %" PRIu32 " bytes with %u labels", number, family->text_size,
                family->n_labels);
        return;
    }
    if (claim_text(check, family->text, block, from, "family", number) != 0)
        return;
    const unsigned char *bytes = check->image.bytes + (uint64_t)family->text * 16;
    memcpy(length, bytes, used);
    for (uint32_t i = 0; i < lengths; i++)
        used += length[i];
    uint32_t padding = (8u - used % 8u) % 8u;
    if (used + padding + 8u * family->n_bounds != family->text_size) {
        finding(check, check_offset(check, bytes),
                "family %" PRIu32 ": its strings and bounds have %" PRIu32 " bytes, its text %" PRIu32, number,
                used + padding + 8u * family->n_bounds, family->text_size);
        return;
    }
    must_be_zero(check, bytes + used, padding, "padding of a family's text");
    const char *text = (const char *)bytes + 2u * lengths;
    for (uint32_t i = 0; i < lengths; text += length[i], i++) {
        uint64_t at = check_offset(check, text);
        if (i == 0 && !name_sound(text, length[i], LIBSHM_MAX_NAME, 1))
            finding(check, at, "family %" PRIu32 ": its name is not [a-zA-Z_:][a-zA-Z0-9_:]* of at most %u bytes",
                    number, LIBSHM_MAX_NAME);
        if (i == 1 && (length[i] > LIBSHM_MAX_HELP || !text_sound(text, length[i])))
            finding(check, at, "family %" PRIu32 ": its help is not UTF-8 of at most %u bytes", number,
                    LIBSHM_MAX_HELP);
        if (i == 2 && (length[i] > LIBSHM_MAX_UNIT || !text_sound(text, length[i])))
            finding(check, at, "family %" PRIu32 ": its unit is not UTF-8 of at most %u bytes", number,
                    LIBSHM_MAX_UNIT);
        if (i >= 3 && !label_name_sound(text, length[i]))
            finding(check, at, "family %" PRIu32 ": the name of label %" PRIu32 " is not valid, or reserved", number,
                    i - 3);
    }
    check_bounds(check, family, number, bytes + used + padding);
}

static void check_words(struct check *check, const struct libshm_family_entry *family, uint32_t number)
{
    if (family->type < LIBSHM_TYPE_COUNTER || family->type > LIBSHM_TYPE_UNKNOWN)
        finding(check, check_offset(check, &family->type), "family %" PRIu32 ": type %" PRIu32 ", which there is not",
                number, family->type);
    if (family->gauge_mode > LIBSHM_GAUGE_ALL || (family->gauge_mode && family->type != LIBSHM_TYPE_GAUGE))
        finding(check, check_offset(check, &family->gauge_mode),
                "family %" PRIu32 ": gauge mode %" PRIu32 " with type %s", number, family->gauge_mode,
                type_name(family->type));
    if (family->n_labels > LIBSHM_MAX_LABELS)
        finding(check, check_offset(check, &family->n_labels), "family %" PRIu32 ": %u labels; at most %u", number,
                family->n_labels, LIBSHM_MAX_LABELS);
    if (family->n_bounds > LIBSHM_MAX_BOUNDS || (family->n_bounds != 0) != (family->type == LIBSHM_TYPE_HISTOGRAM))
        finding(check, check_offset(check, &family->n_bounds), "family %" PRIu32 ": %u bounds with type %s", number,
                family->n_bounds, type_name(family->type));
    if (family->max_series == 0)
        finding(check, check_offset(check, &family->max_series), "family %" PRIu32 ": a cap of no series", number);
    if (family->native_schema != 0)
        finding(check, check_offset(check, &family->native_schema), "family %" PRIu32 ": native_schema is reserved",
                number);
    if (family->sweep_cursor > check->count[LIBSHM_TABLE_SERIES])
        finding(check, check_offset(check, &family->sweep_cursor),
                "family %" PRIu32 ": sweep_cursor %" PRIu32 " is beyond the series", number, family->sweep_cursor);
    must_be_zero(check, family->reserved, sizeof family->reserved, "reserved of a family");
}

void check_families(struct check *check)
{
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_FAMILIES]; number++) {
        const struct libshm_family_entry *family = table_entry(&check->image, LIBSHM_TABLE_FAMILIES, number);
        if (!family)
            continue;
        uint32_t state = LIBSHM_STATUS_STATE(family->status);
        if (LIBSHM_STATUS_GENERATION(family->status) == 0)
            finding(check, check_offset(check, &family->status), "family %" PRIu32 ": generation 0, it was never used",
                    number);
        if (state == LIBSHM_STATE_FREE)
            continue;
        if (state != LIBSHM_STATE_LIVE && state != LIBSHM_STATE_REMOVED)
            finding(check, check_offset(check, &family->status),
                    "family %" PRIu32 ": state %" PRIu32 " (%s); free, live or removed was expected", number, state,
                    state_name(state));
        check->report->families += state == LIBSHM_STATE_LIVE;
        check_words(check, family, number);
        if (family->n_labels <= LIBSHM_MAX_LABELS && family->n_bounds <= LIBSHM_MAX_BOUNDS)
            check_text_block(check, family, number);
    }
}
