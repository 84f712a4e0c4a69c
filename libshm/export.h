/* SPDX-License-Identifier: Apache-2.0
 *
 * Included by the compiler's command line before every source file of the library: what the public headers declare is
 * exported from libshm.so, everything else is hidden (-fvisibility=hidden). The headers need no attribute for it. */
#ifndef LIBSHM_EXPORT_H
#define LIBSHM_EXPORT_H

#pragma GCC visibility push(default)
#include <libshm.h>
#include <libshm/reader.h>
#pragma GCC visibility pop

#endif
