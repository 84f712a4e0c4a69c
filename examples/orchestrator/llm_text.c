/* SPDX-License-Identifier: Apache-2.0
 *
 * The texts that the stand-in answers with. */
#include "llm.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static bool starts(const char *line, const char *with)
{
    return strncmp(line, with, strlen(with)) == 0;
}

/* The line at `at` without its end; returns where the next one begins, NULL after the last. */
static const char *next_line(const char *at, size_t *length)
{
    *length = strcspn(at, "\n");
    return at[*length] && at[*length + 1] ? at + *length + 1 : NULL;
}

/* Appends a line if it fits. */
static void put_line(char *text, size_t *used, const char *line, size_t length)
{
    if (*used + length + 2 > LLM_TEXT_MAX)
        return;
    memcpy(text + *used, line, length);
    *used += length;
    text[(*used)++] = '\n';
    text[*used] = '\0';
}

void llm_edit(const char *prompt, uint64_t choice, char completion[LLM_TEXT_MAX])
{
    size_t used = 0, length, lines = 0, number = 0;
    for (const char *at = *prompt ? prompt : NULL; at; at = next_line(at, &length))
        lines++;
    completion[0] = '\0';
    for (const char *at = *prompt ? prompt : NULL, *next; at; at = next, number++) {
        char changed[128];
        next = next_line(at, &length);
        if (number == choice % lines) {
            int head = (int)strcspn(at, ":\n");
            snprintf(changed, sizeof(changed), "%.*s: as changed by %08" PRIx32, head > 64 ? 64 : head, at,
                     (uint32_t)(choice >> 32));
            put_line(completion, &used, changed, strlen(changed));
        } else {
            put_line(completion, &used, at, length);
        }
    }
}

/* <<<<<<< ours   =======   >>>>>>> theirs */
void llm_resolve(const char *prompt, uint64_t choice, int careless, char completion[LLM_TEXT_MAX])
{
    size_t used = 0, length;
    const char *last = NULL; /* start of the last conflict */
    for (const char *at = prompt; (at = strstr(at, "<<<<<<< ")) != NULL; at++)
        last = at;
    enum { OUTSIDE, OURS, THEIRS } side = OUTSIDE;
    completion[0] = '\0';
    for (const char *at = *prompt ? prompt : NULL, *next; at; at = next) {
        next = next_line(at, &length);
        bool as_it_is = careless && last && at >= last;
        bool marker = true;
        if (starts(at, "<<<<<<< "))
            side = OURS;
        else if (side == OURS && starts(at, "=======\n"))
            side = THEIRS;
        else if (side == THEIRS && starts(at, ">>>>>>> "))
            side = OUTSIDE;
        else
            marker = false;
        if (as_it_is || (!marker && (side == OUTSIDE || (side == OURS) == (choice % 2 == 0))))
            put_line(completion, &used, at, length);
    }
}

int llm_has_conflict(const char *text)
{
    return starts(text, "<<<<<<< ") || strstr(text, "\n<<<<<<< ") || starts(text, ">>>>>>> ") ||
           strstr(text, "\n>>>>>>> ");
}

uint32_t llm_tokens(const char *text)
{
    return (uint32_t)(strlen(text) + 3) / 4;
}
