/* SPDX-License-Identifier: Apache-2.0
 *
 * attach_program SEGMENT: an instrumented program for attach_syscalls.py: attaches, defines, looks up, updates, goes on
 * whatever fails, and says what it was told. The two marks on standard error enclose the system calls of the library.
 */
#include <libshm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UPDATES = 10 };

static void mark(const char *text)
{
    if (write(2, text, strlen(text)) < 0)
        _exit(3);
}

static void said(const char *what, int error)
{
    if (error == 0)
        printf("%s 0\n", what);
    else
        printf("%s %d %s\n", what, error, libshm_error_detail());
}

int main(int argc, char **argv)
{
    libshm_segment *segment;
    libshm_counter counter;
    libshm_gauge gauge;
    libshm_histogram histogram;
    libshm_family *family;
    char label[16];
    if (argc != 2)
        return 2;
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);

    void *volatile heap = malloc(1); /* glibc 2.36 crashes if the brk() that makes the heap fails */
    free(heap);
    mark("begin\n");
    int opened = libshm_open(argv[1], NULL, &segment);
    said("open", opened);
    said("counter", libshm_counter_define(segment, &(libshm_metric){.name = "c_total", .help = "c"}, &counter));
    said("gauge", libshm_gauge_define(
                      segment, &(libshm_metric){.name = "g", .help = "g", .gauge_mode = LIBSHM_GAUGE_SUM}, &gauge));
    said("histogram", libshm_histogram_define(segment, &(libshm_metric){.name = "h", .help = "h", .LIBSHM_BOUNDS(1, 2)},
                                              &histogram));
    said("family", libshm_family_define(
                       segment,
                       &(libshm_metric){
                           .type = LIBSHM_TYPE_COUNTER, .name = "l_total", .help = "l", .labels = LIBSHM_LABELS("n")},
                       &family));
    for (int i = 0; i < UPDATES; i++) {
        libshm_counter_inc(&counter);
        libshm_gauge_add(&gauge, 1);
        libshm_histogram_observe(&histogram, 1);
        snprintf(label, sizeof label, "%d", i);
        libshm_counter_add_with(family, LIBSHM_VALUES(label), 1);
    }
    mark("end\n");
    printf("updated %d\n", UPDATES);
    return fflush(stdout) != 0;
}
