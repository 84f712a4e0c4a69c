/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether bytes are UTF-8. What comes from a segment is checked by the reader; paths and the like are not. */
#ifndef EXPORTER_UTF8_H
#define EXPORTER_UTF8_H

#include <stddef.h>

/* Length in bytes of the character that `text` begins with; 0: it begins with no character. */
size_t utf8_length(const char *text);

#endif
