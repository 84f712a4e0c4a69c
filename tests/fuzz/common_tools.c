/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets use of the tools, which are no library. */
#define _GNU_SOURCE
#include "tools/common.c"
#include "tools/common_guard.c"
#include "tools/common_image.c"
#include "tools/common_text.c"

#include "tools/check_families.c"
#include "tools/check_header.c"
#include "tools/check_index.c"
#include "tools/check_processes.c"
#include "tools/check_report.c"
#include "tools/check_series.c"
#include "tools/check_tables.c"

#include "tools/dump_facts.c"
#include "tools/dump_prometheus.c"
#include "tools/dump_text.c"
