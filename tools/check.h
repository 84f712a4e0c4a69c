/* SPDX-License-Identifier: Apache-2.0
 *
 * Verifying a segment: a pure function over its bytes. Everything that format.h says must hold is looked at, and each
 * thing that does not becomes a finding with the offset of the word that is wrong. */
#ifndef TOOLS_CHECK_H
#define TOOLS_CHECK_H

#include "common.h"

struct check_finding {
    uint64_t offset; /* in the file */
    char text[232];
};

#define CHECK_FINDINGS 2000u /* kept; beyond it they are only counted */

struct check_report {
    struct check_finding *findings; /* in the order in which they were made */
    size_t n_findings;              /* kept */
    uint64_t total;
    int out_of_memory; /* could not go on */
    int unreadable;    /* not a segment, or of another version: nothing more could be looked at */
    /* for the summary */
    uint32_t undone; /* words of a half-done change that were put back first */
    uint32_t families, series, removed, free_series;
    uint64_t pages, pages_unreferenced;
};

/* Verifies bytes[0..length). A change that the undo journal describes as half done is undone in `bytes` first, as the
 * next writer would do it. The bytes must not change meanwhile; `bytes` is aligned to a page. */
void check_segment(unsigned char *bytes, size_t length, struct check_report *report);
void check_report_free(struct check_report *report);

/* ---- between the check_*.c files ------------------------------------------------------------------------------- */
enum check_owner { /* what a page is used for */
                   OWNER_NONE,
                   OWNER_HEADER,
                   OWNER_ROOT,
                   OWNER_LEAF,
                   OWNER_INDEX,
                   OWNER_HOLDS,
                   OWNER_LIVE,
                   OWNER_GROUP,
                   OWNER_TEXT,
};

struct check {
    struct image image;
    const struct libshm_header *header;
    struct check_report *report;
    uint64_t pages;      /* given out, header included; all of them inside the file */
    uint8_t *page_owner; /* a byte a page: enum check_owner */
    uint32_t count[LIBSHM_TABLES];
    uint32_t **cell_owner; /* by group: NULL, or for each of its 256 cells the number + 1 of the series that has it */
    uint32_t *live_owner;  /* by live cell number: the same */
    uint8_t *indexed;      /* by series: seen in the index */
    uint8_t *listed;       /* by series: seen in a free list */
    uint8_t *family_indexed;
    uint32_t *family_series; /* by family: LIVE and HIDDEN series, without the overflow series */
    struct check_text *texts;
    size_t n_texts, texts_size;
};

struct check_text { /* bytes that are used for text */
    uint64_t offset, size;
    uint64_t from; /* where the reference stands */
    const char *what;
    uint32_t number;
};

void finding(struct check *check, uint64_t offset, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Offset of something that a pointer into the image points to. */
uint64_t check_offset(const struct check *check, const void *at);
/* Claims pages for an owner. 0, or -1 after a finding at `from` if they are not given out, or another has one. */
int claim_pages(struct check *check, uint64_t page, uint64_t n, enum check_owner owner, uint64_t from,
                const char *what);
/* Notes a text block; check_texts_done looks for overlaps. -1 after a finding if it is out of bounds. */
int claim_text(struct check *check, uint32_t text, uint64_t size, uint64_t from, const char *what, uint32_t number);
/* Size of the block that holds `bytes` of text; 0: too many. */
uint32_t text_block_size(uint32_t bytes);
/* A finding unless all bytes are zero. */
void must_be_zero(struct check *check, const void *at, size_t size, const char *what);

int check_header(struct check *check); /* -1: nothing else can be looked at */
void check_allocator(struct check *check);
void check_tables(struct check *check);
void check_groups(struct check *check);
void check_families(struct check *check);
void check_series(struct check *check);
void check_cells(struct check *check);
void check_index(struct check *check);
void check_lists(struct check *check);
void check_processes(struct check *check);
void check_texts_done(struct check *check);
void check_duplicates(struct check *check);

#endif
