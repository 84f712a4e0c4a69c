/* SPDX-License-Identifier: Apache-2.0
 *
 * An encoder turns merged families into the bytes of one format. It knows nothing of HTTP and nothing of segments, and
 * may keep what it prepared from one call to the next: the same input gives the same bytes. One thread at a time. */
#ifndef EXPORTER_ENCODER_H
#define EXPORTER_ENCODER_H

#include "buffer.h"
#include "merge.h"

struct encoder {
    /* Appends all families to `out`. False: out of memory. */
    bool (*encode)(struct encoder *encoder, const struct merged *merged, const struct source *sources,
                   struct buffer *out);
    void (*free)(struct encoder *encoder);
};

/* Prometheus text 0.0.4. NULL: out of memory. */
struct encoder *encoder_new_text(void);

#endif
