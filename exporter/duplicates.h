/* SPDX-License-Identifier: Apache-2.0
 *
 * Series that two segments have alike, where no label tells the segments apart. */
#ifndef EXPORTER_DUPLICATES_H
#define EXPORTER_DUPLICATES_H

#include "merge.h"

/* Marks, in every family of several parts, the series that a part of an older segment has as well, and counts them.
 * False: out of memory. */
bool duplicates_find(struct merged *merged, const struct source *sources);

#endif
