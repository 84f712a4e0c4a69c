/* SPDX-License-Identifier: Apache-2.0
 *
 * From segments to bodies: looks at the segments, merges their families, encodes, compresses. One thread at a time; the
 * bodies are anybody's. */
#ifndef EXPORTER_PIPELINE_H
#define EXPORTER_PIPELINE_H

#include "body.h"
#include "format.h"
#include "options.h"
#include "selection.h"
#include "statistics.h"

struct pipeline;
/* `options` and `statistics` must live as long. NULL: out of memory. */
struct pipeline *pipeline_new(const struct options *options, const struct statistics *statistics);
/* When nobody has one of its bodies any more. */
void pipeline_free(struct pipeline *pipeline);

/* Readable (poll) when something happened in a directory of segments, and it is worth a look. */
int pipeline_fd(const struct pipeline *pipeline);

/* Takes a snapshot of every segment. False: out of memory. */
bool pipeline_look(struct pipeline *pipeline);
/* What `selection` has of the last look, in `format`. The caller's; NULL: out of memory, or the last look failed. */
struct body *pipeline_encode(struct pipeline *pipeline, enum format format, const struct selection *selection);
/* `plain` in `coding`, which is not CODING_IDENTITY. The caller's; NULL: out of memory. */
struct body *pipeline_compress(struct pipeline *pipeline, enum coding coding, const struct body *plain);

/* How long a render took, for the next one to tell. */
void pipeline_took(struct pipeline *pipeline, double seconds);
/* Gives memory that is only kept for bodies back to the kernel. False: somebody still has a body. */
bool pipeline_trim(struct pipeline *pipeline);

#endif
