/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything that reads a segment, on any bytes. */
#ifndef FUZZ_EXAMINE_H
#define FUZZ_EXAMINE_H

#include <stddef.h>
#include <stdint.h>

/* Validates, opens, takes a snapshot, encodes it, prints it. With `later` (as many bytes, or NULL) the
 * file becomes that while the reader has it open, and all is done again. Aborts if something that must hold does not.
 */
void examine(const uint8_t *bytes, const uint8_t *later, size_t length);

#endif
