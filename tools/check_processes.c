/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying process slots with their live pages, and attaches with their hold pages. */
#include "check.h"

#include <inttypes.h>
#include <stdlib.h>

struct serial {
    uint64_t serial, from;
};

static int by_serial(const void *a, const void *b)
{
    uint64_t left = ((const struct serial *)a)->serial, right = ((const struct serial *)b)->serial;
    return (left > right) - (left < right);
}

static void note_serial(struct check *check, struct serial *list, size_t *n, const uint64_t *serial, const char *what,
                        uint32_t number)
{
    if (*serial == 0)
        return;
    if (*serial > check->header->serial)
        finding(check, check_offset(check, serial),
                "%s %" PRIu32 ": serial %" PRIu64 " was never given out (last: %" PRIu64 ")", what, number, *serial,
                check->header->serial);
    list[(*n)++] = (struct serial){*serial, check_offset(check, serial)};
}

static void check_slot(struct check *check, const struct libshm_slot_entry *slot, uint32_t number)
{
    char what[64];
    uint64_t from = check_offset(check, &slot->live_page);
    uint32_t page = slot->live_page, order = 0;
    must_be_zero(check, &slot->reserved, sizeof slot->reserved, "reserved of a process slot");
    must_be_zero(check, &slot->reserved2, sizeof slot->reserved2, "reserved2 of a process slot");
    if (slot->serial && slot->attach >= check->count[LIBSHM_TABLE_ATTACHES])
        finding(check, check_offset(check, &slot->attach),
                "process slot %" PRIu32 ": attach %" PRIu32 ", which there is not", number, slot->attach);
    /* A page that was claimed cannot be claimed again, so a circle ends here. */
    for (; page; order++) {
        snprintf(what, sizeof what, "live page %" PRIu32 " of process slot %" PRIu32, order, number);
        if (claim_pages(check, page, 1, OWNER_LIVE, from, what) != 0)
            return;
        const struct libshm_live_page *live = image_at(&check->image, (uint64_t)page * LIBSHM_PAGE, LIBSHM_PAGE, 8);
        if (!live)
            return;
        if (live->order != order)
            finding(check, check_offset(check, &live->order), "%s: order %" PRIu32, what, live->order);
        must_be_zero(check, &live->reserved, sizeof live->reserved, "reserved of a live page");
        from = check_offset(check, &live->next);
        page = live->next;
    }
}

/* Only things that there are can be held. */
static void check_bits(struct check *check, const struct libshm_hold_page *page, const char *what)
{
    for (uint32_t word = 0; word < LIBSHM_HOLD_BITS / 64; word++) {
        for (uint64_t bits = page->bits[word]; bits; bits &= bits - 1) {
            uint64_t thing = (uint64_t)page->block * LIBSHM_HOLD_BITS + word * 64u + (uint64_t)__builtin_ctzll(bits);
            int family = thing >= LIBSHM_HOLD_FAMILY;
            uint64_t number = family ? thing - LIBSHM_HOLD_FAMILY : thing;
            if (number >= check->count[family ? LIBSHM_TABLE_FAMILIES : LIBSHM_TABLE_SERIES]) {
                finding(check, check_offset(check, &page->bits[word]), "%s: %s %" PRIu64 " is held, which there is not",
                        what, family ? "family" : "series", number);
                return;
            }
        }
    }
}

static void check_attach(struct check *check, const struct libshm_attach_entry *attach, uint32_t number)
{
    char what[64];
    uint64_t from = check_offset(check, &attach->holds);
    uint32_t page = attach->holds, order = 0;
    uint8_t seen[(LIBSHM_HOLD_FAMILY + 32768u) / LIBSHM_HOLD_BITS + 1] = {0};
    must_be_zero(check, attach->reserved, sizeof attach->reserved, "reserved of an attach");
    for (; page; order++) {
        snprintf(what, sizeof what, "hold page %" PRIu32 " of attach %" PRIu32, order, number);
        if (claim_pages(check, page, 1, OWNER_HOLDS, from, what) != 0)
            return;
        const struct libshm_hold_page *holds = image_at(&check->image, (uint64_t)page * LIBSHM_PAGE, LIBSHM_PAGE, 8);
        if (!holds)
            return;
        if (holds->block >= sizeof seen || seen[holds->block]++)
            finding(check, check_offset(check, &holds->block), "%s: block %" PRIu32 " %s", what, holds->block,
                    holds->block >= sizeof seen ? "is beyond all things" : "is in an earlier page already");
        else if (attach->serial)
            check_bits(check, holds, what);
        must_be_zero(check, holds->reserved, sizeof holds->reserved, "reserved of a hold page");
        from = check_offset(check, &holds->next);
        page = holds->next;
    }
}

void check_processes(struct check *check)
{
    size_t n = 0;
    struct serial *list =
        calloc(check->count[LIBSHM_TABLE_SLOTS] + check->count[LIBSHM_TABLE_ATTACHES] + 1u, sizeof *list);
    if (!list) {
        check->report->out_of_memory = 1;
        return;
    }
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_SLOTS]; number++) {
        const struct libshm_slot_entry *slot = table_entry(&check->image, LIBSHM_TABLE_SLOTS, number);
        if (!slot)
            continue;
        note_serial(check, list, &n, &slot->serial, "process slot", number);
        check_slot(check, slot, number);
    }
    for (uint32_t number = 0; number < check->count[LIBSHM_TABLE_ATTACHES]; number++) {
        const struct libshm_attach_entry *attach = table_entry(&check->image, LIBSHM_TABLE_ATTACHES, number);
        if (!attach)
            continue;
        note_serial(check, list, &n, &attach->serial, "attach", number);
        check_attach(check, attach, number);
    }
    if (n)
        qsort(list, n, sizeof *list, by_serial);
    for (size_t i = 1; i < n; i++)
        if (list[i].serial == list[i - 1].serial)
            finding(check, list[i].from, "serial %" PRIu64 " was given to two, the other at %" PRIu64, list[i].serial,
                    list[i - 1].from);
    free(list);
}
