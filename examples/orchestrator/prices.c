/* SPDX-License-Identifier: Apache-2.0
 *
 * Reads the price table and looks prices up. */
#define _GNU_SOURCE
#include "prices.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRICE_MAX 1e6 /* dollars per million tokens; beyond it somebody mistook the unit */

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct price *)a)->model, ((const struct price *)b)->model);
}

/* One price, with nothing around it. */
static bool parse_dollars(const char *text, double *dollars)
{
    char *end;
    if ((*text < '0' || *text > '9') && *text != '.') /* strtod would take spaces, signs, "inf" and "nan" */
        return false;
    *dollars = strtod(text, &end);
    return *end == '\0' && isfinite(*dollars) && *dollars <= PRICE_MAX;
}

/* Splits `line` at its tabs in place. Returns the number of fields, counting at most `most` + 1. */
static size_t split(char *line, char *field[], size_t most)
{
    size_t n = 0;
    for (char *rest = line, *next; rest && n <= most; rest = next, n++) {
        next = strchr(rest, '\t');
        if (next)
            *next++ = '\0';
        if (n < most)
            field[n] = rest;
    }
    return n;
}

static const char *parse_line(char *line, struct price *price)
{
    char *field[3];
    if (split(line, field, 3) != 3)
        return "expected 3 fields separated by tabs: model, dollars per million prompt tokens, dollars per million "
               "completion tokens";
    if (!*field[0])
        return "the model's name is empty";
    if (!parse_dollars(field[1], &price->prompt) || !parse_dollars(field[2], &price->completion))
        return "a price must be a plain number of dollars per million tokens, 0 to 1000000, such as 2.50";
    price->model = strdup(field[0]);
    return price->model ? NULL : "out of memory";
}

static const char *append(struct prices *prices, char *line)
{
    struct price *grown = reallocarray(prices->price, prices->n + 1, sizeof(*grown));
    if (!grown)
        return "out of memory";
    prices->price = grown;
    const char *problem = parse_line(line, &grown[prices->n]);
    if (!problem)
        prices->n++;
    return problem;
}

static int parse(FILE *file, const char *path, struct prices *prices, char *why, size_t why_size)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t length;
    const char *problem = NULL;
    unsigned number = 0;

    while (!problem && (length = getline(&line, &size, file)) >= 0) {
        number++;
        if (memchr(line, '\0', (size_t)length)) {
            problem = "a NUL byte: this is not a text file";
            break;
        }
        line[strcspn(line, "\r\n")] = '\0';
        if (*line && *line != '#')
            problem = append(prices, line);
    }
    bool unreadable = ferror(file);
    free(line);
    if (unreadable)
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
    else if (problem)
        snprintf(why, why_size, "%s:%u: %s", path, number, problem);
    return unreadable || problem ? -1 : 0;
}

int prices_read(const char *path, struct prices *prices, char *why, size_t why_size)
{
    *prices = (struct prices){0};
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(why, why_size, "%s: %s", path, strerror(errno));
        return -1;
    }
    int status = parse(file, path, prices, why, why_size);
    fclose(file);
    if (status == 0 && prices->n == 0) {
        snprintf(why, why_size, "%s: no prices in it", path);
        status = -1;
    }
    if (status == 0) {
        qsort(prices->price, prices->n, sizeof(*prices->price), compare);
        for (size_t i = 1; status == 0 && i < prices->n; i++) {
            if (compare(&prices->price[i - 1], &prices->price[i]) == 0) {
                snprintf(why, why_size, "%s: two prices for %s", path, prices->price[i].model);
                status = -1;
            }
        }
    }
    if (status != 0)
        prices_free(prices);
    return status;
}

void prices_free(struct prices *prices)
{
    for (size_t i = 0; i < prices->n; i++)
        free(prices->price[i].model);
    free(prices->price);
    *prices = (struct prices){0};
}

bool prices_cost(const struct prices *prices, const char *model, uint64_t prompt_tokens, uint64_t completion_tokens,
                 double *dollars)
{
    const struct price wanted = {.model = (char *)(uintptr_t)model};
    const struct price *price = prices->n ? bsearch(&wanted, prices->price, prices->n, sizeof(wanted), compare) : NULL;
    *dollars =
        price ? ((double)prompt_tokens * price->prompt + (double)completion_tokens * price->completion) / 1e6 : 0;
    return price != NULL;
}
