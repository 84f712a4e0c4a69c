/* SPDX-License-Identifier: Apache-2.0
 *
 * Compressing bodies, see compress.h. */
#include "compress.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <zstd.h>

#define LEVEL 1

struct compressor {
    struct libdeflate_compressor *deflate;
    ZSTD_CCtx *zstd;
};

struct compressor *compressor_new(void)
{
    return calloc(1, sizeof(struct compressor));
}

void compressor_free(struct compressor *compressor)
{
    if (!compressor)
        return;
    libdeflate_free_compressor(compressor->deflate);
    ZSTD_freeCCtx(compressor->zstd);
    free(compressor);
}

static bool gzip(struct compressor *compressor, const struct buffer *plain, struct buffer *out)
{
    if (!compressor->deflate)
        compressor->deflate = libdeflate_alloc_compressor(LEVEL);
    if (!compressor->deflate || !buffer_reserve(out, libdeflate_gzip_compress_bound(compressor->deflate, plain->size)))
        return false;
    const size_t n = libdeflate_gzip_compress(compressor->deflate, plain->data, plain->size, out->data + out->size,
                                              out->capacity - out->size);
    out->size += n;
    return n != 0;
}

static bool zstd(struct compressor *compressor, const struct buffer *plain, struct buffer *out)
{
    if (!compressor->zstd)
        compressor->zstd = ZSTD_createCCtx();
    if (!compressor->zstd || !buffer_reserve(out, ZSTD_compressBound(plain->size)))
        return false;
    const size_t n = ZSTD_compressCCtx(compressor->zstd, out->data + out->size, out->capacity - out->size, plain->data,
                                       plain->size, LEVEL);
    if (ZSTD_isError(n))
        return false;
    out->size += n;
    return true;
}

bool compress(struct compressor *compressor, enum coding coding, const struct buffer *plain, struct buffer *out)
{
    return coding == CODING_GZIP ? gzip(compressor, plain, out) : zstd(compressor, plain, out);
}
