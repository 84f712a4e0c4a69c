/* SPDX-License-Identifier: Apache-2.0
 *
 * shm-exporter: serves libshm segments as Prometheus metrics. Starts the stages, waits for a signal, ends them in the
 * opposite order. */
#include "buffer.h"
#include "collector.h"
#include "guard.h"
#include "http.h"
#include "listen.h"
#include "log.h"
#include "options.h"
#include "sandbox.h"

#include <libshm.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#define EXIT_USAGE 2

static int print_help(void)
{
    struct buffer text = {0};
    options_help(&text);
    fwrite(text.data, 1, text.size, stdout);
    buffer_free(&text);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_version(void)
{
    printf("shm-exporter %s (segment format %u)\n", LIBSHM_VERSION, LIBSHM_FORMAT_VERSION);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Threads inherit the mask, so that the signal comes to whoever waits for it. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* Every segment and every connection takes a file descriptor. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max < 65536 ? limit.rlim_max : 65536;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* The library's rule, unless the command line has a directory. */
static bool find_directory(struct options *options, char path[PATH_MAX])
{
    char warning[256] = "";
    if (options->scope.n_directories)
        return true;
    if (libshm_directory(path, PATH_MAX - 128, warning, sizeof warning) != 0) {
        fprintf(stderr, "shm-exporter: no directory of segments: %s\n", libshm_error_detail());
        return false;
    }
    options->scope.directories[options->scope.n_directories++] = path;
    if (*warning)
        log_event(LOG_WARN, "directory of the segments", "directory", path, "warning", warning, NULL);
    return true;
}

static void log_start(const struct options *options)
{
    const struct scope *scope = &options->scope;
    struct buffer directories = {0}, names = {0};
    for (size_t i = 0; i < scope->n_directories; i++)
        buffer_printf(&directories, "%s%s", i ? " " : "", scope->directories[i]);
    for (size_t i = 0; i < scope->n_names; i++)
        buffer_printf(&names, "%s%s", i ? " " : "", scope->names[i]);
    log_event(LOG_INFO, "starting", "version", LIBSHM_VERSION, "directory", buffer_string(&directories), "segments",
              scope->n_names ? buffer_string(&names) : "all", NULL);
    buffer_free(&directories);
    buffer_free(&names);
}

static int wait_for_signal(const sigset_t *signals)
{
    int number = 0;
    while (sigwait(signals, &number) != 0) {
    }
    return number;
}

struct listeners {
    struct listener listener[LISTENERS_MAX];
    size_t n;
};

static bool listen_everywhere(const struct options *options, struct listeners *listeners)
{
    char error[LISTEN_ERROR_MAX];
    if (options->systemd_socket) {
        listeners->n = listen_systemd(listeners->listener, LISTENERS_MAX - options->n_listen_addresses, error);
        if (!listeners->n) {
            log_event(LOG_ERROR, "cannot listen", "reason", error, NULL);
            return false;
        }
    }
    for (size_t i = 0; i < options->n_listen_addresses; i++) {
        if (!listen_open(options->listen_addresses[i], &listeners->listener[listeners->n], error)) {
            log_event(LOG_ERROR, "cannot listen", "reason", error, NULL);
            return false;
        }
        listeners->n++;
    }
    return true;
}

static void remove_files(const struct listeners *listeners)
{
    for (size_t i = 0; i < listeners->n; i++)
        listen_remove(&listeners->listener[i]);
}

static bool run(const struct options *options, const struct web *web, struct collector *collector,
                const struct listeners *listeners, struct statistics *statistics, const sigset_t *signals)
{
    struct http *http = http_start(listeners->listener, listeners->n, options, web, collector, statistics);
    if (!http) {
        log_event(LOG_ERROR, "the server did not start", NULL);
        collector_stop(collector);
        return false;
    }
    for (size_t i = 0; i < listeners->n; i++)
        log_event(LOG_INFO, "listening", "address", listeners->listener[i].address, NULL);
    sd_notify(0, "READY=1");
    log_event(LOG_INFO, "stopping", "signal", strsignal(wait_for_signal(signals)), NULL);
    sd_notify(0, "STOPPING=1");
    http_quiesce(http);
    collector_stop(collector);
    http_stop(http);
    return true;
}

static bool enter_sandbox(const struct options *options, const struct web *web, const struct listeners *listeners)
{
    struct web_state *state = web_current(web);
    const bool well = sandbox_enter(options, state->config, listeners->listener, listeners->n);
    shared_put(&state->shared);
    return well;
}

static int serve(const struct options *options)
{
    static struct statistics statistics;
    struct listeners listeners = {.n = 0};
    sigset_t signals;
    block_signals(&signals);
    mallopt(M_MMAP_THRESHOLD, 256 << 10); /* large buffers go back to the kernel when they are freed; set, it stays */
    raise_file_limit();
    log_start(options);
    struct collector *collector = collector_new(options, &statistics);
    bool well = collector && guard_install();
    if (!well)
        log_event(LOG_ERROR, "out of memory", NULL);
    struct web *web = NULL;
    char error[WEB_CONFIG_ERROR_MAX];
    if (well && !(web = web_new(options->web_config_file, error))) {
        log_event(LOG_ERROR, "web configuration cannot be used", "reason", error, NULL);
        well = false;
    }
    well = well && listen_everywhere(options, &listeners);
    well = well && enter_sandbox(options, web, &listeners);
    well = well && web_start(web);
    if (well && !collector_start(collector)) {
        log_event(LOG_ERROR, "the collector did not start", NULL);
        well = false;
    }
    well = well && run(options, web, collector, &listeners, &statistics, &signals);
    remove_files(&listeners);
    if (web)
        web_stop(web);
    collector_free(collector);
    return well ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    struct options options;
    char error[OPTIONS_ERROR_MAX], directory[PATH_MAX];
    int status;
    switch (options_parse(argc, argv, &options, error)) {
    case OPTIONS_HELP:
        status = print_help();
        break;
    case OPTIONS_VERSION:
        status = print_version();
        break;
    case OPTIONS_ERROR:
        fprintf(stderr, "shm-exporter: %s\n", error);
        status = EXIT_USAGE;
        break;
    default:
        log_set(options.log_level, options.log_format);
        status = find_directory(&options, directory) ? serve(&options) : EXIT_FAILURE;
    }
    options_free(&options);
    return status;
}
