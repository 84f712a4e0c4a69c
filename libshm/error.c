/* SPDX-License-Identifier: Apache-2.0
 *
 * Error codes and their details. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "libshm/error.h"

/* Not initial-exec: a plugin host has little static TLS left, and no error is on the hot path. */
static _Thread_local char detail[512];

const char *libshm_strerror(int error)
{
    switch (error) {
    case 0:
        return "success";
    case LIBSHM_E_INVALID:
        return "invalid argument";
    case LIBSHM_E_MISMATCH:
        return "the name is defined differently";
    case LIBSHM_E_COLLISION:
        return "a sample name is one of another family";
    case LIBSHM_E_FULL:
        return "the segment or the file system is full";
    case LIBSHM_E_OVERFLOW:
        return "the family is at its series cap";
    case LIBSHM_E_BUSY:
        return "busy";
    case LIBSHM_E_SYSTEM:
        return "a system call failed";
    case LIBSHM_E_NOT_FOUND:
        return "not found";
    case LIBSHM_E_PERMISSION:
        return "not permitted, or not safe to use";
    case LIBSHM_E_NOT_SEGMENT:
        return "not a segment";
    case LIBSHM_E_VERSION:
        return "made by another version";
    case LIBSHM_E_DAMAGED:
        return "the segment is damaged";
    case LIBSHM_E_REPLACED:
        return "the file was replaced";
    case LIBSHM_E_MEMORY:
        return "out of memory";
    default:
        return "unknown error";
    }
}

const char *libshm_error_detail(void)
{
    return detail;
}

int libshm_error_set(int code, const char *format, ...)
{
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(detail, sizeof detail, format, arguments);
    va_end(arguments);
    if (length < 0)
        detail[0] = '\0';
    /* Names in it may come from others: the text stays one line, and a cut one ends with a whole character. */
    for (char *c = detail; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    if (length >= (int)sizeof detail) {
        size_t end = strlen(detail), start = end;
        while (start > 0 && ((unsigned char)detail[start - 1] & 0xc0) == 0x80)
            start--;
        if (start > 0 && (unsigned char)detail[start - 1] >= 0xc0)
            detail[start - 1] = '\0';
        else if (start < end)
            detail[start] = '\0';
    }
    errno = saved;
    return code;
}
