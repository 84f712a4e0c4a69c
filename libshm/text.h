/* SPDX-License-Identifier: Apache-2.0
 *
 * Rules for names and texts, and the header's checksum; for writers and readers alike. Private. */
#ifndef LIBSHM_TEXT_H
#define LIBSHM_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. No U+0000 either: the interface
 * speaks of C strings, and two label values must not look alike because both end there. */
__attribute__((visibility("hidden"))) bool libshm_utf8_valid(const char *text, size_t length);

/* [a-zA-Z_:][a-zA-Z0-9_:]*, at most LIBSHM_MAX_NAME bytes. */
__attribute__((visibility("hidden"))) bool libshm_metric_name_valid(const char *name, size_t length);

/* [a-zA-Z_][a-zA-Z0-9_]*, at most LIBSHM_MAX_LABEL_NAME bytes, and not reserved: le, quantile, __*. */
__attribute__((visibility("hidden"))) bool libshm_label_name_valid(const char *name, size_t length);

/* CRC-32C (Castagnoli, as iSCSI and ext4 use it): of "123456789" it is 0xe3069283. */
__attribute__((visibility("hidden"))) uint32_t libshm_crc32c(const void *bytes, size_t length);

#endif
