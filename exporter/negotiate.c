/* SPDX-License-Identifier: Apache-2.0
 *
 * Content negotiation, see negotiate.h.
 *
 * Of every range that a header lists it is asked whether it covers a candidate and how exactly. A candidate has the
 * weight of the range that covers it most exactly; the candidate of the highest weight is chosen. */
#include "negotiate.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#define RANGES_MAX 32u
#define TOKEN_MAX  64u

struct range {                                /* one element of a list: media range or coding */
    char type[TOKEN_MAX], subtype[TOKEN_MAX]; /* subtype "" for a coding */
    char version[TOKEN_MAX];                  /* "": any */
    enum escaping escaping;                   /* NONE: not asked for */
    bool impossible;                          /* asks for something that nothing here has */
    unsigned weight;                          /* q in thousandths */
};

/* ---- parsing --------------------------------------------------------------------------------------------------- */

static void skip_space(const char **at)
{
    *at += strspn(*at, " \t");
}

static bool take(const char **at, char c)
{
    skip_space(at);
    if (**at != c)
        return false;
    ++*at;
    skip_space(at);
    return true;
}

/* A token, in lower case; one that is too long for `token` is no token that anybody here knows. */
static bool take_token(const char **at, char token[TOKEN_MAX])
{
    static const char delimiters[] = "\"(),/:;<=>?@[\\]{} \t";
    size_t n = 0;
    for (; (unsigned char)**at > ' ' && (unsigned char)**at < 0x7f && !strchr(delimiters, **at); ++*at) {
        if (n == TOKEN_MAX - 1)
            return false;
        token[n++] = **at >= 'A' && **at <= 'Z' ? (char)(**at + 32) : **at;
    }
    token[n] = '\0';
    return n != 0;
}

static bool take_quoted(const char **at, char value[TOKEN_MAX])
{
    size_t n = 0;
    for (++*at; **at && **at != '"'; ++*at) {
        if (**at == '\\' && (*at)[1])
            ++*at;
        if (n == TOKEN_MAX - 1)
            return false;
        value[n++] = **at;
    }
    value[n] = '\0';
    if (**at != '"')
        return false;
    ++*at;
    return true;
}

/* 0, 0.7, 1, 1.000: at most three digits behind the point. */
static bool parse_weight(const char *text, unsigned *weight)
{
    if ((text[0] != '0' && text[0] != '1') || (text[1] && text[1] != '.'))
        return false;
    *weight = text[0] == '1' ? 1000 : 0;
    unsigned unit = 100;
    for (const char *digit = text[1] ? text + 2 : ""; *digit; digit++, unit /= 10) {
        if (*digit < '0' || *digit > '9' || !unit)
            return false;
        *weight += unit * (unsigned)(*digit - '0');
    }
    return *weight <= 1000;
}

static enum escaping parse_escaping(const char *name)
{
    for (enum escaping i = ESCAPING_UNDERSCORES; i < ESCAPINGS; i++)
        if (strcasecmp(name, escaping_names[i]) == 0)
            return i;
    return ESCAPING_NONE; /* unknown: as if it had not been asked for, which is what others do */
}

static void apply(struct range *range, const char *name, const char *value)
{
    if (strcmp(name, "version") == 0)
        memcpy(range->version, value, TOKEN_MAX);
    else if (strcmp(name, "escaping") == 0)
        range->escaping = parse_escaping(value);
    else if (strcmp(name, "charset") != 0 || strcasecmp(value, "utf-8") != 0)
        range->impossible = true;
}

static bool take_parameters(const char **at, struct range *range)
{
    bool weighted = false;
    while (take(at, ';')) {
        char name[TOKEN_MAX], value[TOKEN_MAX] = "";
        if (!**at || **at == ',' || **at == ';')
            continue; /* an empty parameter */
        if (!take_token(at, name))
            return false;
        if (take(at, '=') && !(**at == '"' ? take_quoted(at, value) : take_token(at, value)))
            return false;
        if (!weighted && strcmp(name, "q") == 0) {
            weighted = true;
            if (!parse_weight(value, &range->weight))
                return false;
        } else if (!weighted) { /* what follows the weight are extensions that were never used */
            apply(range, name, value);
        }
    }
    return true;
}

/* How many ranges there are; none if the list cannot be parsed. */
static size_t parse(const char *list, bool media, struct range ranges[RANGES_MAX])
{
    size_t n = 0;
    const char *at = list ? list : "";
    for (skip_space(&at); *at;) {
        if (take(&at, ','))
            continue; /* an empty element */
        if (n == RANGES_MAX)
            return 0;
        struct range *range = &ranges[n];
        *range = (struct range){.weight = 1000};
        if (!take_token(&at, range->type))
            return 0;
        if (media && !(take(&at, '/') && take_token(&at, range->subtype)))
            return 0;
        if (!take_parameters(&at, range) || (*at && *at != ','))
            return 0;
        n++;
    }
    return n;
}

/* ---- choosing -------------------------------------------------------------------------------------------------- */

static const struct kind {
    const char *type, *subtype, *version;
} kinds[EXPOSITIONS] = {
    [EXPOSITION_TEXT_0] = {"text", "plain", "0.0.4"},
    [EXPOSITION_TEXT_1] = {"text", "plain", "1.0.0"},
    [EXPOSITION_OPENMETRICS] = {"application", "openmetrics-text", "1.0.0"},
};

/* 0: not at all; the more parts of it a range names, the more exactly it covers a candidate. */
static unsigned covers(const struct range *range, const struct content *content)
{
    const struct kind *kind = &kinds[content->exposition];
    if (range->impossible || range->escaping != content->escaping)
        return 0;
    if (strcmp(range->type, "*") == 0 && strcmp(range->subtype, "*") == 0)
        return 1;
    if (strcmp(range->type, kind->type) != 0)
        return 0;
    if (strcmp(range->subtype, "*") == 0)
        return 2;
    if (strcmp(range->subtype, kind->subtype) != 0)
        return 0;
    if (!*range->version)
        return 3;
    return strcmp(range->version, kind->version) == 0 ? 4 : 0;
}

struct content negotiate_content(const char *accept)
{
    struct range ranges[RANGES_MAX];
    const size_t n = parse(accept, true, ranges);
    struct content best = {EXPOSITION_TEXT_0, ESCAPING_NONE};
    unsigned best_weight = 0;
    size_t best_place = 0;
    for (enum exposition exposition = 0; exposition < EXPOSITIONS; exposition++) {
        for (enum escaping escaping = 0; escaping < ESCAPINGS; escaping++) {
            const struct content content = {exposition, escaping};
            unsigned exactness = 0;
            size_t place = 0;
            for (size_t i = 0; i < n; i++) {
                const unsigned covered = covers(&ranges[i], &content);
                if (covered > exactness) {
                    exactness = covered;
                    place = i;
                }
            }
            const unsigned weight = exactness ? ranges[place].weight : 0;
            if (weight > best_weight || (weight && weight == best_weight && place < best_place)) {
                best = content;
                best_weight = weight;
                best_place = place;
            }
        }
    }
    return best;
}

/* -1: the list says nothing of it. */
static int coding_weight(const struct range *ranges, size_t n, enum coding coding)
{
    int any = -1;
    for (size_t i = 0; i < n; i++) {
        const char *name = strcmp(ranges[i].type, "x-gzip") == 0 ? "gzip" : ranges[i].type;
        if (strcmp(name, coding_names[coding]) == 0)
            return (int)ranges[i].weight;
        if (strcmp(name, "*") == 0 && coding != CODING_ZSTD)
            any = (int)ranges[i].weight;
    }
    return any;
}

enum coding negotiate_coding(const char *accept_encoding)
{
    static const enum coding candidates[] = {CODING_ZSTD, CODING_GZIP};
    struct range ranges[RANGES_MAX];
    const size_t n = parse(accept_encoding, false, ranges);
    enum coding best = CODING_IDENTITY;
    int best_weight = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        const int weight = coding_weight(ranges, n, candidates[i]);
        if (weight > best_weight) {
            best = candidates[i];
            best_weight = weight;
        }
    }
    return coding_weight(ranges, n, CODING_IDENTITY) > best_weight ? CODING_IDENTITY : best;
}
