/* SPDX-License-Identifier: Apache-2.0
 *
 * An encoder turns merged families into the bytes of one format. It knows nothing of HTTP and nothing of segments, and
 * may keep what it prepared from one call to the next: the same input gives the same bytes. One thread at a time. */
#ifndef EXPORTER_ENCODER_H
#define EXPORTER_ENCODER_H

#include "buffer.h"
#include "merge.h"
#include "selection.h"

struct encoder {
    /* Appends what `selection` has of the families to `out`. False: out of memory. */
    bool (*encode)(struct encoder *encoder, const struct merged *merged, const struct source *sources,
                   const struct selection *selection, struct buffer *out);
    void (*free)(struct encoder *encoder);
};

/* What `dialect` says; a copy is kept. NULL: out of memory. */
struct dialect;
struct encoder *encoder_new_text(const struct dialect *dialect);

#endif
