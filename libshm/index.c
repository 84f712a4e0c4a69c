/* SPDX-License-Identifier: Apache-2.0
 *
 * The index (see format.h). Looking up takes no lock: every slot is only a hint, what it points to is checked. A
 * look-up that overlaps a rebuild may miss an entry; the caller then takes the lock and looks again. */
#include <string.h>

#include "libshm/internal.h"
#include "libshm/labels.h"

enum { LOG2_LEAST = 9 };

uint32_t libshm_family_hash(const char *name, size_t length)
{
    return (uint32_t)(libshm_hash_bytes(UINT64_C(0x8ebc6af09c88c6e3), name, length) >> 32);
}

static uint64_t *table(const struct libshm_segment *segment, uint32_t which, uint32_t log2)
{
    uint32_t page = __atomic_load_n(&segment->header->index_page[which & 1], __ATOMIC_RELAXED);
    return log2 >= LOG2_LEAST && log2 <= 24 ? libshm_at(segment, (uint64_t)page * LIBSHM_PAGE, UINT64_C(8) << log2)
                                            : NULL;
}

/* Compares without library calls that ThreadSanitizer watches: the block may be given away meanwhile, the generation
 * that is checked afterwards tells. */
__attribute__((no_sanitize_thread)) static bool same_bytes(const char *shared, const char *mine, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (((const volatile char *)shared)[i] != mine[i])
            return false;
    return true;
}

__attribute__((no_sanitize_thread)) static bool series_matches(const struct libshm_segment *segment,
                                                               const struct libshm_series_entry *entry, uint32_t family,
                                                               const struct libshm_labels *labels, uint64_t *generation)
{
    uint64_t status = libshm_status(&entry->status);
    if (!libshm_status_shown(status) || entry->family != family || entry->hash != (uint32_t)(labels->hash >> 32))
        return false;
    if (labels->n > 0) {
        if (entry->text_size != labels->bytes)
            return false;
        const char *text = libshm_at(segment, (uint64_t)entry->text * 16, labels->bytes);
        if (!text || !same_bytes(text, (const char *)labels->length, labels->n * 2u))
            return false;
        text += labels->n * 2u;
        for (uint32_t i = 0; i < labels->n; text += labels->length[i], i++)
            if (!same_bytes(text, labels->values[i], labels->length[i]))
                return false;
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* what was compared before the second look at the generation */
    uint64_t again = __atomic_load_n(&entry->status, __ATOMIC_RELAXED);
    *generation = LIBSHM_STATUS_GENERATION(status);
    return libshm_status_shown(again) && LIBSHM_STATUS_GENERATION(again) == *generation;
}

bool libshm_index_find_series(const struct libshm_segment *segment, uint32_t family, const struct libshm_labels *labels,
                              struct libshm_found *found)
{
    uint64_t word = __atomic_load_n(&segment->header->index_word, __ATOMIC_ACQUIRE);
    const uint64_t *slots = table(segment, LIBSHM_INDEX_WHICH(word), LIBSHM_INDEX_LOG2(word));
    uint32_t hash = (uint32_t)(labels->hash >> 32), mask = slots ? (1u << LIBSHM_INDEX_LOG2(word)) - 1 : 0;
    for (uint32_t i = hash, probes = 0; slots && probes <= mask; i++, probes++) {
        uint64_t slot = __atomic_load_n(&slots[i & mask], __ATOMIC_ACQUIRE);
        if (slot == 0)
            return false;
        if (slot >> 32 != hash || slot == LIBSHM_INDEX_TOMBSTONE || slot & LIBSHM_INDEX_FAMILY)
            continue;
        uint32_t number = (uint32_t)(slot & LIBSHM_INDEX_NUMBER_MASK) - 1;
        struct libshm_series_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_SERIES, number);
        if (entry && series_matches(segment, entry, family, labels, &found->generation)) {
            found->entry = entry;
            found->number = number;
            return true;
        }
    }
    return false;
}

struct libshm_family_entry *libshm_index_find_family(const struct libshm_segment *segment, const char *name,
                                                     uint32_t *number)
{
    size_t length = strlen(name);
    uint32_t hash = libshm_family_hash(name, length);
    uint64_t word = __atomic_load_n(&segment->header->index_word, __ATOMIC_ACQUIRE);
    const uint64_t *slots = table(segment, LIBSHM_INDEX_WHICH(word), LIBSHM_INDEX_LOG2(word));
    uint32_t mask = slots ? (1u << LIBSHM_INDEX_LOG2(word)) - 1 : 0;
    for (uint32_t i = hash, probes = 0; slots && probes <= mask; i++, probes++) {
        uint64_t slot = __atomic_load_n(&slots[i & mask], __ATOMIC_ACQUIRE);
        if (slot == 0)
            return NULL;
        if (slot >> 32 != hash || slot == LIBSHM_INDEX_TOMBSTONE || !(slot & LIBSHM_INDEX_FAMILY))
            continue;
        *number = (uint32_t)(slot & LIBSHM_INDEX_NUMBER_MASK) - 1;
        struct libshm_family_entry *entry = libshm_table_at(segment, LIBSHM_TABLE_FAMILIES, *number);
        if (!entry || LIBSHM_STATUS_STATE(libshm_status(&entry->status)) != LIBSHM_STATE_LIVE)
            continue;
        const uint16_t *text = libshm_at(segment, (uint64_t)entry->text * 16, entry->text_size);
        uint32_t lengths = 3u + entry->n_labels;
        if (text && entry->text_size >= lengths * 2 + length && text[0] == length &&
            memcmp(text + lengths, name, length) == 0)
            return entry;
    }
    return NULL;
}

static void put(uint64_t *slots, uint32_t mask, uint64_t slot)
{
    uint32_t i = (uint32_t)(slot >> 32);
    while (slots[i & mask] != 0)
        i++;
    __atomic_store_n(&slots[i & mask], slot, __ATOMIC_RELAXED); /* published with the table */
}

/* Fills the table not in use with what is in the one that is, larger if needed, and changes over. */
static int rebuild(struct libshm_segment *segment)
{
    struct libshm_header *header = segment->header;
    uint64_t word = header->index_word;
    uint32_t old_log2 = LIBSHM_INDEX_LOG2(word), which = LIBSHM_INDEX_WHICH(word), other = which ^ 1u;
    uint64_t *old = table(segment, which, old_log2);
    uint32_t old_slots = old ? 1u << old_log2 : 0, entries = 0;
    for (uint32_t i = 0; i < old_slots; i++)
        entries += old[i] != 0 && old[i] != LIBSHM_INDEX_TOMBSTONE;
    uint32_t log2 = LOG2_LEAST;
    while ((uint64_t)(entries + 1) * 2 > UINT64_C(1) << log2)
        log2++;
    if (log2 > 24)
        return libshm_error_set(LIBSHM_E_FULL, "%s: the index is full", segment->path);
    if (header->index_log2[other] >= log2 && table(segment, other, header->index_log2[other])) {
        log2 = header->index_log2[other];
    } else {
        uint64_t at = libshm_pages_take(segment, (UINT64_C(8) << log2) / LIBSHM_PAGE);
        if (!at) {
            libshm_journal_abort(segment);
            return LIBSHM_E_FULL;
        }
        libshm_journal_store32(segment, &header->index_page[other], (uint32_t)(at / LIBSHM_PAGE));
        libshm_journal_store32(segment, &header->index_log2[other], log2);
    }
    uint64_t *new = table(segment, other, log2);
    if (!new) {
        libshm_journal_abort(segment);
        return libshm_error_set(LIBSHM_E_DAMAGED, "%s: index table %u is outside the file", segment->path, other);
    }
    uint32_t mask = (1u << log2) - 1;
    LIBSHM_POINT();
    for (uint32_t i = 0; i <= mask; i++)
        __atomic_store_n(&new[i], 0, __ATOMIC_RELAXED);
    LIBSHM_POINT();
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i] != 0 && old[i] != LIBSHM_INDEX_TOMBSTONE)
            put(new, mask, old[i]);
    libshm_journal_store(segment, &header->index_used, entries);
    libshm_journal_commit(segment, &header->index_word, ((word >> 16) + 1) << 16 | (uint64_t)other << 8 | log2);
    return 0;
}

int libshm_index_make_room(struct libshm_segment *segment)
{
    struct libshm_header *header = segment->header;
    uint32_t log2 = LIBSHM_INDEX_LOG2(header->index_word);
    uint64_t slots = table(segment, LIBSHM_INDEX_WHICH(header->index_word), log2) ? UINT64_C(1) << log2 : 0;
    return (header->index_used + 1) * 4 > slots * 3 ? rebuild(segment) : 0;
}

void libshm_index_add(struct libshm_segment *segment, uint32_t hash, uint64_t kind, uint32_t number)
{
    struct libshm_header *header = segment->header;
    uint64_t word = header->index_word;
    uint64_t *slots = table(segment, LIBSHM_INDEX_WHICH(word), LIBSHM_INDEX_LOG2(word));
    uint32_t mask = slots ? (1u << LIBSHM_INDEX_LOG2(word)) - 1 : 0;
    for (uint32_t i = hash, probes = 0; slots && probes <= mask; i++, probes++) {
        uint64_t slot = slots[i & mask];
        if (slot != 0 && slot != LIBSHM_INDEX_TOMBSTONE)
            continue;
        if (slot == 0)
            libshm_journal_store(segment, &header->index_used, header->index_used + 1);
        libshm_journal_store(segment, &slots[i & mask], (uint64_t)hash << 32 | kind | (number + 1));
        return;
    }
}

void libshm_index_remove(struct libshm_segment *segment, uint32_t hash, uint64_t kind, uint32_t number)
{
    uint64_t word = segment->header->index_word, slot = (uint64_t)hash << 32 | kind | (number + 1);
    uint64_t *slots = table(segment, LIBSHM_INDEX_WHICH(word), LIBSHM_INDEX_LOG2(word));
    uint32_t mask = slots ? (1u << LIBSHM_INDEX_LOG2(word)) - 1 : 0;
    for (uint32_t i = hash, probes = 0; slots && probes <= mask && slots[i & mask] != 0; i++, probes++)
        if (slots[i & mask] == slot) {
            libshm_journal_store(segment, &slots[i & mask], LIBSHM_INDEX_TOMBSTONE);
            return;
        }
}
