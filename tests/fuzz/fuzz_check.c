/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-check's verification of a damaged segment. */
#include "common_base.h"
#include "common_change.h"
#include "exporter/buffer.h"
#include "tools/check.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *bytes;
    struct check_report report;
    size_t length, n = size / sizeof(struct change);
    const uint8_t *base = base_segment(&length);
    if (!bytes && !(bytes = aligned_alloc(LIBSHM_PAGE, length)))
        abort();
    memcpy(bytes, base, length);
    changes_apply(bytes, length, data, 0, n);
    if (size % 2)
        base_seal(bytes, length);
    check_segment(bytes, length - (size % 4 == 3 ? n * 512 % length : 0), &report);
    if (n == 0 && size % 4 != 3 && report.total != 0) /* nothing was changed */
        abort();
    for (size_t i = 0; i < report.n_findings; i++)
        if (!memchr(report.findings[i].text, 0, sizeof report.findings[i].text))
            abort();
    check_report_free(&report);
    return 0;
}
