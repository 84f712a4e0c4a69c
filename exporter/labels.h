/* SPDX-License-Identifier: Apache-2.0
 *
 * The labels of a family's series as they are exposed: the family's own and those that the exporter adds (`segment`,
 * `pid`, `pid_ns`), sorted by name. A label of the family that has the name of an added one is renamed as Prometheus
 * does it: `exported_segment`. */
#ifndef EXPORTER_LABELS_H
#define EXPORTER_LABELS_H

#include "source.h"

#define LABELS_ADDED 3u
/* of a name, after `exported_` was put before it as often as it takes */
#define LABELS_NAME_MAX (LIBSHM_MAX_LABEL_NAME + 9u * (LIBSHM_MAX_LABELS + 1u) + 1u)

enum label_origin { LABEL_OWN, LABEL_SEGMENT, LABEL_PID, LABEL_PID_NS };

struct labels {
    size_t n;
    struct label {
        struct label_place {
            enum label_origin origin;
            uint32_t index; /* LABEL_OWN: in the family's label_names */
        } place;
        char name[LABELS_NAME_MAX];
    } label[LIBSHM_MAX_LABELS + LABELS_ADDED];
};

void labels_plan(struct labels *labels, const libshm_family_view *family, bool segment);

/* What the label has as its value in `series`; NULL: nothing, this series has no such label. `text` is room for a
 * number. The pid namespace is told only of processes that live in another one than this process: there a pid alone
 * says nothing.
 */
const char *labels_value(const struct label_place *place, const struct source *source, const libshm_series_view *series,
                         char text[24]);

/* The inode of this process's pid namespace; 0: not known. */
uint64_t labels_own_pid_namespace(void);

/* Do the two families, of whatever segments, have the same labels, in whatever order? */
bool labels_same(const libshm_family_view *a, const libshm_family_view *b);

#endif
