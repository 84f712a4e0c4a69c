/* SPDX-License-Identifier: Apache-2.0
 *
 * See bench.h: an exporter beside the benchmark, and a scrape of it. */
#define _GNU_SOURCE
#include "bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static pid_t running;

static void stop(void)
{
    if (running > 0) {
        kill(running, SIGTERM);
        waitpid(running, NULL, 0);
        running = 0;
    }
}

/* The program of that name in the directory above this one's. */
static void program_path(char *path, size_t size, const char *name)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    for (int up = 0; length > 0 && up < 2; up++) {
        self[length] = 0;
        char *slash = strrchr(self, '/');
        length = slash ? slash - self : 0;
    }
    self[length > 0 ? length : 0] = 0;
    if ((size_t)snprintf(path, size, "%s/%s", self, name) >= size || access(path, X_OK))
        bench_die("there is no %s", path);
}

int bench_start_listener(const char *name, const char *const *arguments, int cpu)
{
    char path[PATH_MAX];
    program_path(path, sizeof path, name);
    const char *argv[16] = {path};
    for (size_t i = 0; arguments[i] && i + 2 < BENCH_COUNT(argv); i++)
        argv[i + 1] = arguments[i];
    int log[2];
    if (pipe2(log, O_CLOEXEC))
        bench_die("pipe: %s", strerror(errno));
    running = fork();
    if (running < 0)
        bench_die("fork: %s", strerror(errno));
    if (!running) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (cpu >= 0)
            bench_pin(cpu);
        dup2(log[1], 1);
        dup2(log[1], 2);
        execv(path, (char *const *)argv);
        _exit(127);
    }
    atexit(stop);
    close(log[1]);
    FILE *lines = fdopen(log[0], "r");
    char line[1024];
    int port = 0;
    while (!port && lines && fgets(line, sizeof line, lines)) {
        char *at = strstr(line, "127.0.0.1:");
        if (strstr(line, "listening") && at)
            port = atoi(at + strlen("127.0.0.1:"));
    }
    if (!port)
        bench_die("%s ended without listening", path);
    return port; /* the pipe stays open: the program may go on logging a little */
}

int bench_start_exporter(const char *segment, int cpu)
{
    const char *arguments[] = {"--web.listen-address=127.0.0.1:0", "--log.level=info", segment, NULL};
    return bench_start_listener("shm-exporter", arguments, cpu);
}

static double bytes_now(void)
{
    char path[64], line[256];
    unsigned long kilobytes = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)running);
    FILE *status = fopen(path, "re");
    while (status && fgets(line, sizeof line, status))
        sscanf(line, "RssAnon: %lu kB", &kilobytes);
    if (status)
        fclose(status);
    if (!kilobytes)
        bench_die("%s has no RssAnon", path);
    return (double)kilobytes * 1024;
}

double bench_exporter_bytes(int seconds)
{
    const double before = bytes_now();
    double now = before;
    for (int i = 0; i < 10 * seconds && now > 0.95 * before; i++) {
        usleep(100000);
        now = bytes_now();
    }
    return now;
}

double bench_exporter_cpu(void)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(running, &clock) || clock_gettime(clock, &time))
        bench_die("no CPU time of process %d", (int)running);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Request to last byte. The body, terminated, is in `buffer`. */
static double ask(int port, const char *request, char *buffer, size_t size, size_t *length)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const size_t n = strlen(request);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    double start = bench_now();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) ||
        send(fd, request, n, MSG_NOSIGNAL) != (ssize_t)n)
        bench_die("cannot ask 127.0.0.1:%d: %s", port, strerror(errno));
    size_t at = 0;
    for (ssize_t got; (got = recv(fd, buffer + at, size - 1 - at, 0)) != 0; at += (size_t)got)
        if (got < 0 || at + (size_t)got >= size - 1)
            bench_die("reading the answer: %s", got < 0 ? strerror(errno) : "it is too long");
    double ns = bench_now() - start;
    close(fd);
    buffer[at] = 0;
    char *body = strstr(buffer, "\r\n\r\n"), *said = strcasestr(buffer, "\r\nContent-Length:");
    if (strncmp(buffer, "HTTP/1.1 200", 12) || !body)
        bench_die("not an answer: %.60s", buffer);
    body += 4;
    *length = at - (size_t)(body - buffer);
    if (said && said < body && strtoull(said + strlen("\r\nContent-Length:"), NULL, 10) != *length)
        bench_die("the answer is cut off after %zu bytes", *length);
    memmove(buffer, body, *length + 1);
    return ns;
}

#define REQUEST "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"

double bench_scrape(int port, char *buffer, size_t size, size_t *length)
{
    return ask(port, REQUEST "\r\n", buffer, size, length);
}

double bench_scrape_gzip(int port, char *buffer, size_t size, size_t *length)
{
    return ask(port, REQUEST "Accept-Encoding: gzip\r\n\r\n", buffer, size, length);
}

void bench_gunzip(char *buffer, size_t size, size_t length)
{
    struct libdeflate_decompressor *decompressor = libdeflate_alloc_decompressor();
    char *compressed = malloc(length + 1);
    size_t n;
    if (!decompressor || !compressed)
        bench_die("out of memory");
    memcpy(compressed, buffer, length);
    if (libdeflate_gzip_decompress(decompressor, compressed, length, buffer, size - 1, &n) != LIBDEFLATE_SUCCESS)
        bench_die("the answer is not gzip: %.20s", compressed);
    buffer[n] = 0;
    free(compressed);
    libdeflate_free_decompressor(decompressor);
}
