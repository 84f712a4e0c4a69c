/* SPDX-License-Identifier: Apache-2.0
 *
 * The web configuration in force, see web.h. */
#include "web.h"
#include "log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define CHECK_SECONDS 1
#define FILES         4u

struct stamp { /* what tells that a file is another one */
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct web {
    const char *path;
    struct shared *current;
    struct stamp stamps[FILES]; /* of the files of `current`, or of the last attempt */
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    bool started, stopping;
};

static void destroy(struct shared *shared)
{
    struct web_state *state = (struct web_state *)shared;
    web_config_free(state->config);
    tls_free(state->tls);
    free(state);
}

static struct stamp stamp_of(const char *path)
{
    struct stat status;
    struct stamp stamp;
    memset(&stamp, 0, sizeof stamp); /* padding too: stamps are compared as bytes */
    if (path && *path && stat(path, &status) == 0) {
        stamp.device = status.st_dev;
        stamp.inode = status.st_ino;
        stamp.size = status.st_size;
        stamp.modified = status.st_mtim;
        stamp.changed = status.st_ctim;
    }
    return stamp;
}

static void stamp_files(const char *path, const struct web_config *config, struct stamp stamps[FILES])
{
    stamps[0] = stamp_of(path);
    stamps[1] = stamp_of(config ? config->cert_file : NULL);
    stamps[2] = stamp_of(config ? config->key_file : NULL);
    stamps[3] = stamp_of(config ? config->client_ca_file : NULL);
}

/* NULL: `error` says what is wrong. */
static struct web_state *read_state(const char *path, struct stamp stamps[FILES], char error[WEB_CONFIG_ERROR_MAX])
{
    struct web_state *state = calloc(1, sizeof *state);
    if (!state) {
        snprintf(error, WEB_CONFIG_ERROR_MAX, "out of memory");
        return NULL;
    }
    shared_init(&state->shared, destroy);
    stamp_files(path, NULL, stamps);
    state->config = path ? web_config_read(path, error) : calloc(1, sizeof *state->config);
    if (state->config) {
        const struct stamp file = stamps[0]; /* from before it was read: a change in between is not missed */
        stamp_files(path, state->config, stamps);
        stamps[0] = file;
    }
    if (state->config && state->config->tls)
        state->tls = tls_new(state->config, error);
    if (!state->config || (state->config->tls && !state->tls)) {
        shared_put(&state->shared);
        return NULL;
    }
    return state;
}

static void reload(struct web *web)
{
    struct web_state *old = (struct web_state *)web->current;
    struct stamp now[FILES];
    char error[WEB_CONFIG_ERROR_MAX];
    stamp_files(web->path, old->config, now);
    if (memcmp(now, web->stamps, sizeof now) == 0)
        return;
    struct web_state *state = read_state(web->path, web->stamps, error);
    if (state && state->config->tls != old->config->tls) {
        log_event(LOG_ERROR, "web configuration not taken over", "reason", "TLS begins or ends with a restart only",
                  NULL);
        shared_put(&state->shared);
        stamp_files(web->path, old->config, web->stamps);
    } else if (state) {
        log_event(LOG_INFO, "web configuration was read again", "file", web->path, NULL);
        shared_publish(&web->current, &state->shared);
    } else {
        log_event(LOG_ERROR, "web configuration not taken over", "reason", error, NULL);
        stamp_files(web->path, old->config, web->stamps);
    }
}

static void *run(void *argument)
{
    struct web *web = argument;
    pthread_mutex_lock(&web->mutex);
    while (!web->stopping) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += CHECK_SECONDS;
        pthread_cond_timedwait(&web->wake, &web->mutex, &until);
        if (!web->stopping && web->path)
            reload(web);
    }
    pthread_mutex_unlock(&web->mutex);
    return NULL;
}

struct web *web_new(const char *path, char error[WEB_CONFIG_ERROR_MAX])
{
    struct web *web = calloc(1, sizeof *web);
    struct web_state *state = NULL;
    pthread_condattr_t monotonic;
    snprintf(error, WEB_CONFIG_ERROR_MAX, "out of memory");
    if (web)
        state = read_state(path, web->stamps, error);
    if (!state) {
        free(web);
        return NULL;
    }
    web->path = path;
    shared_publish(&web->current, &state->shared);
    pthread_mutex_init(&web->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&web->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return web;
}

bool web_start(struct web *web)
{
    web->started = pthread_create(&web->thread, NULL, run, web) == 0;
    return web->started;
}

void web_stop(struct web *web)
{
    pthread_mutex_lock(&web->mutex);
    web->stopping = true;
    pthread_cond_signal(&web->wake);
    pthread_mutex_unlock(&web->mutex);
    if (web->started)
        pthread_join(web->thread, NULL);
    shared_publish(&web->current, NULL);
    pthread_cond_destroy(&web->wake);
    pthread_mutex_destroy(&web->mutex);
    free(web);
}

struct web_state *web_current(const struct web *web)
{
    return (struct web_state *)shared_get(&web->current);
}
