/* SPDX-License-Identifier: Apache-2.0
 *
 * Service discovery, see sd.h. */
#include "sd.h"
#include "json.h"

#include <string.h>

bool sd_host_valid(const char *host)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_:[]";
    const size_t length = strlen(host);
    return length > 0 && length <= 255 && strspn(host, allowed) == length;
}

static void append_pair(struct buffer *out, const char *key, const char *value)
{
    json_key(out, key);
    json_string(out, value);
}

void sd_targets(struct buffer *out, const char *host, const char *telemetry_path, const char *scheme,
                const struct catalogue *catalogue)
{
    buffer_append(out, "[", 1);
    for (size_t i = 0; catalogue && i < catalogue->n; i++) {
        json_comma(out);
        buffer_append_string(out, "{\"targets\":[");
        json_string(out, host);
        buffer_append_string(out, "],\"labels\":{");
        append_pair(out, "__scheme__", scheme);
        append_pair(out, "__metrics_path__", telemetry_path);
        append_pair(out, "__param_segment", catalogue->entries[i].name);
        append_pair(out, "__meta_shm_segment", catalogue->entries[i].name);
        buffer_append_string(out, "}}");
    }
    buffer_append_string(out, "]\n");
}
