/* SPDX-License-Identifier: Apache-2.0
 *
 * Making a segment's file. */
#ifndef LIBSHM_CREATE_H
#define LIBSHM_CREATE_H

#include <libshm.h>

/* Makes the segment `path`, complete before it has its name. Somebody else's having made it meanwhile is no error. */
__attribute__((visibility("hidden"))) int libshm_create(const char *path, const libshm_open_options *options);

/* The running kernel's identity; zeros if it cannot be had. */
__attribute__((visibility("hidden"))) void libshm_boot_id(uint8_t boot_id[16]);

#endif
