/* SPDX-License-Identifier: Apache-2.0
 *
 * Compressing bodies. At the fastest level of either: a scrape is read once and thrown away. */
#ifndef EXPORTER_COMPRESS_H
#define EXPORTER_COMPRESS_H

#include "buffer.h"
#include "format.h"

struct compressor; /* one thread at a time; what it needs is made when it is first used */
struct compressor *compressor_new(void);
void compressor_free(struct compressor *compressor);

/* Appends `plain` in `coding`, which is not CODING_IDENTITY, to `out`. False: out of memory. */
bool compress(struct compressor *compressor, enum coding coding, const struct buffer *plain, struct buffer *out);

#endif
