/* SPDX-License-Identifier: Apache-2.0
 *
 * A sound segment to start from, and a seal for damaged ones. */
#ifndef FUZZ_BASE_H
#define FUZZ_BASE_H

#include <stddef.h>
#include <stdint.h>

/* The bytes of a small segment that has some of everything; made once, by the library. Its process slots and attaches
 * have serials up to BASE_SERIALS. */
const uint8_t *base_segment(size_t *length);
#define BASE_SERIALS 16u

/* Makes the header's checksum right, or nothing behind it would ever be looked at. */
void base_seal(uint8_t *bytes, size_t length);

/* Puts a flag of libFuzzer before those of the command line, which then count more. For LLVMFuzzerInitialize. */
void base_flag(int *argc, char ***argv, const char *flag);

#endif
