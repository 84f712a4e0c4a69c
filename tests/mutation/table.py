# SPDX-License-Identifier: Apache-2.0
"""The mutations: a fence, a check or a step in an order is taken away, and a test has to notice.

(name, file, old text, new text, tests in the order in which they are run until one fails). The old text occurs exactly
once in the file. A test is a program without its prefix: a unit test, or with "torture:" before it a torture test;
"/atomic" after it runs it with LIBSHM_RSEQ=0. KEPT tells why no test on x86-64 can notice one: it is run all the same."""

JOURNAL, SERIES, ATTACH = "libshm/journal.c", "libshm/series.c", "libshm/attach.c"
REGISTRATION = ("journal", "between", "torture:registration", "torture:kill", "torture:reuse")
HOLDS = ("between", "lookup", "overflow", "define", "torture:reuse", "torture:registration", "torture:fork")
HOSTILE = ("reader_hostile", "validate", "reader_limits", "reader_directory", "reader")
DEATHS = ("live", "between", "reader_processes", "torture:fork", "torture:namespaces", "torture:registration")

MUTATIONS = [
    # ---- publication: the journal, and what becomes reachable when
    ("the journal's count is stored before its entry", JOURNAL,
     """    journal->entry[n].at = at;
    journal->entry[n].old = __atomic_load_n((uint64_t *)(void *)(segment->base + at), __ATOMIC_RELAXED);
    __atomic_store_n(&journal->count, n + 1, __ATOMIC_RELEASE); /* the entry before its number */
    LIBSHM_POINT();
""",
     """    __atomic_store_n(&journal->count, n + 1, __ATOMIC_RELEASE);
    LIBSHM_POINT();
    journal->entry[n].at = at;
    journal->entry[n].old = __atomic_load_n((uint64_t *)(void *)(segment->base + at), __ATOMIC_RELAXED);
""", REGISTRATION),
    ("a word is changed before it is noted", JOURNAL,
     """    libshm_journal_note(segment, word);
    __atomic_store_n(word, value, __ATOMIC_RELEASE); /* the note before the change */
    LIBSHM_POINT();
""",
     """    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    LIBSHM_POINT();
    libshm_journal_note(segment, word);
""", REGISTRATION),
    ("a 32-bit word is not noted", JOURNAL,
     """    libshm_journal_note(segment, word);
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    LIBSHM_POINT();
""",
     """    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    LIBSHM_POINT();
""", REGISTRATION),
    ("the commit's word is stored before the journal knows of it", JOURNAL,
     """    __atomic_store_n(&journal->commit_at, libshm_offset(segment, word), __ATOMIC_RELEASE); /* value before place */
    LIBSHM_POINT();
    __atomic_store_n(word, value, __ATOMIC_RELEASE); /* everything that was built before it becomes reachable */
    LIBSHM_POINT();
""",
     """    __atomic_store_n(word, value, __ATOMIC_RELEASE);
    LIBSHM_POINT();
    __atomic_store_n(&journal->commit_at, libshm_offset(segment, word), __ATOMIC_RELEASE);
    LIBSHM_POINT();
""", REGISTRATION),
    ("the journal is cleared before the change is committed", JOURNAL,
     """    LIBSHM_POINT();
    if (directory)
        libshm_directory_changed(segment); /* before the journal is cleared: recovery repeats it */
    clear(journal);
""",
     """    clear(journal);
    LIBSHM_POINT();
    if (directory)
        libshm_directory_changed(segment);
""", REGISTRATION),
    ("commit_at is cleared before count", JOURNAL,
     """    __atomic_store_n(&journal->count, 0, __ATOMIC_RELEASE);
    LIBSHM_POINT();
    __atomic_store_n(&journal->commit_at, 0, __ATOMIC_RELEASE); /* after count: without entries it means nothing */
""",
     """    __atomic_store_n(&journal->commit_at, 0, __ATOMIC_RELEASE);
    LIBSHM_POINT();
    __atomic_store_n(&journal->count, 0, __ATOMIC_RELEASE);
""", REGISTRATION),
    ("an abort undoes in the order of the changes", JOURNAL,
     """    while (n-- > 0) {
        uint64_t *word = libshm_at(segment, journal->entry[n].at, 8);
""",
     """    for (uint64_t last = n, i = 0; i < last; i++) {
        n = i;
        uint64_t *word = libshm_at(segment, journal->entry[n].at, 8);
""", REGISTRATION),
    ("a change half made is not undone", "libshm/lock.c", "    libshm_journal_recover(segment);\n", "", REGISTRATION),
    ("readers are not told of a change", JOURNAL,
     """    if (directory)
        libshm_directory_changed(segment); /* before the journal is cleared: recovery repeats it */
""", "    (void)directory;\n", ("journal", "reader", "reader_directory", "live")),
    ("a series is published before it has its labels", SERIES,
     """    LIBSHM_POINT();
    if (text)
        copy_text(segment->base + (uint64_t)text * 16, labels);
    LIBSHM_POINT();
    entry->family = family->number;
""",
     """    __atomic_store_n(&entry->status, LIBSHM_STATUS(generation, LIBSHM_STATE_LIVE), __ATOMIC_RELEASE);
    LIBSHM_POINT();
    if (text)
        copy_text(segment->base + (uint64_t)text * 16, labels);
    LIBSHM_POINT();
    entry->family = family->number;
""", REGISTRATION + ("reader_midway", "reader_race")),
    ("the cells of a series that is used again are not zeroed", SERIES,
     "        libshm_cells_zero(segment, entry); /* nobody holds it: these are nobody's live cells */\n", "",
     ("lookup", "define", "torture:reuse")),
    ("a series is used again under its old generation", "libshm/sweep.c",
     "LIBSHM_STATUS(generation + 1, LIBSHM_STATE_FREE));\n}\n\nbool libshm_series_reclaim",
     "LIBSHM_STATUS(generation, LIBSHM_STATE_FREE));\n}\n\nbool libshm_series_reclaim",
     ("lookup", "define", "reader_midway", "torture:reuse")),
    ("the new index is used before it is filled", "libshm/index.c",
     """    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i] != 0 && old[i] != LIBSHM_INDEX_TOMBSTONE)
            put(new, mask, old[i]);
    libshm_journal_store(segment, &header->index_used, entries);
    libshm_journal_commit(segment, &header->index_word, ((word >> 16) + 1) << 16 | (uint64_t)other << 8 | log2);
""",
     """    libshm_journal_store(segment, &header->index_used, entries);
    libshm_journal_commit(segment, &header->index_word, ((word >> 16) + 1) << 16 | (uint64_t)other << 8 | log2);
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i] != 0 && old[i] != LIBSHM_INDEX_TOMBSTONE)
            put(new, mask, old[i]);
""", REGISTRATION + ("lookup",)),
    # ---- holds and removal
    ("a hold is not followed by a second look at the status", SERIES,
     "    if (libshm_status_shown(status) && LIBSHM_STATUS_GENERATION(status) == found->generation)\n        return 0;\n"
     "    libshm_unhold(segment, found->number);\n    return LIBSHM_E_NOT_FOUND;\n",
     "    (void)status;\n    return 0;\n", HOLDS),
    ("a series is given away although it is held", "libshm/sweep.c",
     "    if (!list || libshm_held(segment, number))\n        return false;\n    give_back",
     "    if (!list)\n        return false;\n    give_back", HOLDS),
    ("a series is taken although it is held", "libshm/sweep.c",
     "    if (libshm_held(segment, number) || (still &&", "    if ((still &&", HOLDS + ("journal",)),
    ("a hidden series is taken although it has moved", "libshm/sweep.c",
     " || (still && libshm_cells_fingerprint(segment, entry) != entry->fingerprint)) {", ") {\n        (void)still;",
     HOLDS),
    ("a redeploy takes the series of who came back", "libshm/family.c",
     "            return false; /* whoever came back holds the series, too, and may count there */\n",
     "            (void)0;\n", ("between",)),
    ("the hold is set without a fence", ATTACH,
     """    __atomic_fetch_or(&page->bits[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
""",
     "    __atomic_fetch_or(&page->bits[bit / 64], UINT64_C(1) << bit % 64, __ATOMIC_RELAXED);\n", HOLDS),
    ("removal looks at the holds without a fence", "libshm/sweep.c",
     "    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* REMOVED before the look at the holds, see set_bit() */\n"
     "    uint32_t *list", "    uint32_t *list", HOLDS),
    ("a new attach takes over its dead owner's holds", ATTACH,
     "            memset(holds->bits, 0, sizeof holds->bits);\n", "            (void)0;\n", HOLDS),
    ("a forked child writes into the attach that it inherited", ATTACH,
     "    if (segment->process.wiped->own_attach)\n        return set_bit(segment, thing, locked);\n",
     "    if (segment->attach_serial)\n        return set_bit(segment, thing, locked);\n", HOLDS),
    ("a look-up's memory is freed without a grace period", "libshm/grace.c",
     "    return heavy_fence(grace) && sum(grace, &grace->in[before]) == out;\n",
     "    return heavy_fence(grace) && out <= UINT64_MAX;\n", HOLDS + ("lookup/atomic", "torture:reuse/atomic")),
    ("a sequence that uses what is being freed is not restarted", "libshm/grace.c",
     " || (grace->sequences && !membarrier(RESTART_SEQUENCES)))", ")", HOLDS),
    ("a look-up hit does not see that a series was removed", "libshm/lookup.c",
     "    return __builtin_expect(__atomic_load_n(lookup->removals_now, __ATOMIC_RELAXED) == known, 1) ||\n",
     "    return known != 1 || !lookup ||\n", HOLDS),
    # ---- who is alive
    ("an attach is pinned after it is announced", ATTACH,
     "        entry->taken_ns = libshm_now_ns(CLOCK_REALTIME);\n        error =\n",
     "        entry->taken_ns = libshm_now_ns(CLOCK_REALTIME);\n"
     "        __atomic_store_n(&entry->serial, serial, __ATOMIC_RELEASE);\n        LIBSHM_POINT();\n        error =\n",
     DEATHS + HOLDS),
    ("a slot's pin is inherited through fork", "libshm/pin.c",
     "!inherit && madvise(p, LIBSHM_PAGE, MADV_DONTFORK) != 0", "!inherit && p == NULL", DEATHS),
    ("a dead slot's live cells are not zeroed", "libshm/slots.c", "    zero_live_cells(segment, entry);\n", "", DEATHS),
    ("a serial is given out twice", "libshm/slots.c",
     "    uint64_t serial = header->serial + 1;\n", "    uint64_t serial = header->serial;\n", DEATHS),
    ("a lock whose holder's child keeps it is waited for", "libshm/lock.c",
     "            if (owner != 0 && libshm_byte_locked", "            if (owner == UINT64_MAX && libshm_byte_locked",
     ("between", "torture:fork", "torture:stop")),
    ("a lock passed by meanwhile is taken for one's own", "libshm/lock.c",
     "            if ((now_there & BYTE_MASK) == byte &&\n                __atomic_compare_exchange_n",
     "            if (now_there != UINT64_MAX &&\n                __atomic_compare_exchange_n",
     ("between", "torture:fork", "torture:stop", "torture:registration")),
    # ---- what is read is hostile
    ("the reader does not look at the status again", "libshm/reader_directory.c",
     "    return LIBSHM_STATUS_GENERATION(now) == LIBSHM_STATUS_GENERATION(before) &&\n"
     "           libshm_reader_status_shown(now) == libshm_reader_status_shown(before);\n",
     "    return now == before || before != 1;\n", ("reader_midway", "reader_race", "torture:reuse")),
    ("a text may be outside the file", "libshm/reader_directory.c", "    if (!text)\n", "    if (!text && place == 1)\n",
     HOSTILE),
    ("a text's strings may be longer than the text", "libshm/reader_directory.c", "    return end <= size ||",
     "    return end <= UINT32_MAX ||", HOSTILE),
    ("a text may be longer than the scratch", "libshm/reader_directory.c",
     "    if (size > LIBSHM_MAX_TEXT || size < n_lengths * 2)", "    if (size < n_lengths * 2)", HOSTILE),
    ("a series may belong to a family that is not there", "libshm/reader_series.c",
     "    if (e->family >= r->n_families)\n", "    if (e->family > r->n_families + 1000000000u)\n", HOSTILE),
    ("a series may have another number of cells than its family", "libshm/reader_series.c",
     "    if (e->n_cells != cells_of(&f->view))\n", "    if (e->n_cells == 0)\n", HOSTILE),
    ("a label value need not be UTF-8", "libshm/reader_series.c",
     "        if (r->lengths[i] > LIBSHM_MAX_LABEL_VALUE || !libshm_utf8_valid(value, r->lengths[i]))\n",
     "        if (r->lengths[i] > LIBSHM_MAX_LABEL_VALUE)\n", HOSTILE),
    ("two series may have the same labels", "libshm/reader_series.c",
     "    if (same != 0 && same < number + 1 && libshm_reader_series_current(r, same - 1)) {\n",
     "    if (same == UINT32_MAX) {\n", HOSTILE + ("reader_midway",)),
    ("texts may overlap without end", "libshm/reader_series.c",
     "    return r->text_bytes + e->text_size <= r->view.length ||\n", "    return r->text_bytes + 1 > 0 ||\n", HOSTILE),
    ("a family may have any number of bounds", "libshm/reader_families.c",
     "    if (e->n_bounds > (e->type == LIBSHM_TYPE_HISTOGRAM ? LIBSHM_MAX_BOUNDS : 0))\n",
     "    if (e->n_bounds > 60000)\n", HOSTILE),
    ("bounds need not ascend", "libshm/reader_families.c", "        if (!isfinite(bound) || bound <= before)\n",
     "        if (!isfinite(bound))\n", HOSTILE),
    ("a family's type may be any", "libshm/reader_families.c",
     "    if (e->type < LIBSHM_TYPE_COUNTER || e->type > LIBSHM_TYPE_UNKNOWN)\n", "    if (e->type > 1000)\n", HOSTILE),
    ("a file shorter than its end is read", "libshm/validate.c", "    if (!error && length < header.file_end)\n",
     "    if (!error && length < 64)\n", HOSTILE),
    ("the baseline is left out", "libshm/reader_cells.c",
     "    set_to_page(&baseline, page, first, end);\n", "    memset(&baseline, 0, sizeof baseline);\n",
     ("reset", "reader_cells", "reader_race")),
]

KEPT = {
    "the hold is set without a fence":
        "On x86-64 the lock or that sets the bit is a full barrier by itself, and the compiler may not move the load "
        "of the status before it: the mutant is the same machine code but for an mfence. tests/model checks the "
        "algorithm without it.",
    "a sequence that uses what is being freed is not restarted":
        "The thread would have to be stopped for the whole grace period inside some ten instructions, and a thread that "
        "is stopped there is restarted by the kernel anyway; what is left is one that runs all along, slower than a "
        "system call and a free() of another.",
    "an attach is pinned after it is announced":
        "The same: whoever asks whether an attach is alive has the insert lock, which its maker holds until it is pinned.",
    "removal looks at the holds without a fence":
        "The look at the holds begins with a system call (fcntl on the common byte), before which the stores of this "
        "processor have drained. tests/model checks the algorithm without it.",
}
