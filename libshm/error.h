/* SPDX-License-Identifier: Apache-2.0
 *
 * How the library's functions leave word of what exactly went wrong, for libshm_error_detail(). Private. */
#ifndef LIBSHM_ERROR_H
#define LIBSHM_ERROR_H

#include <libshm.h>

/* Writes this thread's detail text and returns `code`. Keeps errno. */
__attribute__((visibility("hidden"), format(printf, 2, 3))) int libshm_error_set(int code, const char *format, ...);

#endif
