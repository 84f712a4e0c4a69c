/* SPDX-License-Identifier: Apache-2.0
 *
 * The floor of a scrape without compression: how long does it take to hand as many bytes as 100,000 series are to one
 * scraper, and to four at once, if they need not be made? A bare server has the answer ready and sends it, a thread for
 * each connection. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY = 6644521, SCRAPERS = 4, SCRAPES = 41, BUFFER = 32 << 20 };

static char *answer;
static size_t answer_size;

static void *serve_one(void *context)
{
    const int fd = (int)(intptr_t)context;
    char request[1024];
    size_t sent = 0;
    if (recv(fd, request, sizeof request, 0) > 0)
        for (ssize_t n; sent < answer_size; sent += (size_t)n)
            if ((n = send(fd, answer + sent, answer_size - sent, MSG_NOSIGNAL)) <= 0)
                break;
    close(fd);
    return NULL;
}

static _Noreturn void serve(int listening)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    answer = malloc(BODY + 256);
    if (!answer)
        _exit(1);
    const int header = sprintf(answer, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", BODY);
    memset(answer + header, 'x', BODY);
    answer_size = (size_t)header + BODY;
    for (;;) {
        pthread_t thread;
        const int fd = accept(listening, NULL, NULL);
        if (fd < 0 || pthread_create(&thread, NULL, serve_one, (void *)(intptr_t)fd))
            _exit(1);
        pthread_detach(thread);
    }
}

static int start_server(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (listening < 0 || bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, 16) ||
        getsockname(listening, (struct sockaddr *)&address, &size))
        bench_die("cannot listen on 127.0.0.1: %s", strerror(errno));
    const pid_t child = fork();
    if (child < 0)
        bench_die("fork: %s", strerror(errno));
    if (!child)
        serve(listening);
    close(listening);
    return ntohs(address.sin_port);
}

int main(void)
{
    const int port = start_server();
    char *buffers[SCRAPERS];
    double one[SCRAPES], four[SCRAPES];
    size_t lengths[SCRAPERS];
    for (int i = 0; i < SCRAPERS; i++) {
        if (!(buffers[i] = malloc(BUFFER)))
            bench_die("out of memory");
        memset(buffers[i], 0, BUFFER);
    }
    for (int s = 0; s < SCRAPES; s++) {
        one[s] = bench_scrape(port, buffers[0], BUFFER, &lengths[0]);
        bench_check("bytes for one", (double)lengths[0], BODY);
        four[s] = bench_scrape_together(port, bench_scrape, SCRAPERS, buffers, BUFFER, lengths);
        for (int i = 0; i < SCRAPERS; i++)
            bench_check("bytes for one of four", (double)lengths[i], BODY);
    }
    bench_report("send_one_ms", bench_median(one, SCRAPES) / 1e6, "ms");
    bench_report("send_four_ms", bench_median(four, SCRAPES) / 1e6, "ms");
    return 0;
}
