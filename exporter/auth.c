/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords against bcrypt hashes, see auth.h. */
#define _GNU_SOURCE
#include "auth.h"
#include "buffer.h"

#include <crypt.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SIZE    32u
#define DIGEST_SIZE 32u
#define KEPT        256u /* outcomes of each kind */
#define WAITING_MAX 16u

struct outcomes { /* a ring: the oldest makes room */
    unsigned char digests[KEPT][DIGEST_SIZE];
    size_t n, next;
};

struct auth {
    unsigned char key[KEY_SIZE];
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    struct outcomes granted, denied;
    struct auth_check *first, **last;
    size_t n_waiting;
    bool stopping;
};

/* ---- what is known --------------------------------------------------------------------------------------------- */

static bool known(const struct outcomes *outcomes, const unsigned char digest[DIGEST_SIZE])
{
    for (size_t i = 0; i < outcomes->n; i++)
        if (gnutls_memcmp(outcomes->digests[i], digest, DIGEST_SIZE) == 0)
            return true;
    return false;
}

static void keep(struct outcomes *outcomes, const unsigned char digest[DIGEST_SIZE])
{
    memcpy(outcomes->digests[outcomes->next], digest, DIGEST_SIZE);
    outcomes->next = (outcomes->next + 1) % KEPT;
    outcomes->n += outcomes->n < KEPT;
}

static void append_field(struct buffer *message, const char *field)
{
    const uint64_t length = strlen(field);
    buffer_append(message, &length, sizeof length); /* so that no two triples look alike */
    buffer_append_string(message, field);
}

static const char *hash_of(const struct auth_check *check)
{
    const struct web_config *config = check->config;
    for (size_t i = 0; i < config->n_users; i++)
        if (strcmp(config->users[i].name, check->user) == 0)
            return config->users[i].hash;
    return NULL;
}

static bool digest_of(const struct auth *auth, const struct auth_check *check, unsigned char digest[DIGEST_SIZE])
{
    struct buffer message = {0};
    const char *hash = hash_of(check);
    append_field(&message, check->user);
    append_field(&message, hash ? hash : "");
    append_field(&message, check->password);
    const bool well = !message.failed &&
                      gnutls_hmac_fast(GNUTLS_MAC_SHA256, auth->key, KEY_SIZE, message.data, message.size, digest) == 0;
    if (message.data)
        gnutls_memset(message.data, 0, message.size);
    buffer_free(&message);
    return well;
}

/* ---- the thread ------------------------------------------------------------------------------------------------ */

static bool verify(const struct auth_check *check)
{
    struct crypt_data *data = calloc(1, sizeof *data);
    const char *hash = hash_of(check);
    const char *against = hash ? hash : check->config->users[0].hash; /* unknown: as expensive as the others */
    const char *made = data ? crypt_rn(check->password, against, data, sizeof *data) : NULL;
    const size_t length = strlen(against);
    const bool same = made && strlen(made) == length && gnutls_memcmp(made, against, length) == 0;
    if (data)
        gnutls_memset(data, 0, sizeof *data);
    free(data);
    return same && hash;
}

static void *run(void *argument)
{
    struct auth *auth = argument;
    pthread_mutex_lock(&auth->mutex);
    for (;;) {
        while (!auth->first && !auth->stopping)
            pthread_cond_wait(&auth->wake, &auth->mutex);
        struct auth_check *check = auth->first;
        if (!check)
            break;
        auth->first = check->next;
        if (!auth->first)
            auth->last = &auth->first;
        auth->n_waiting--;
        const bool stopping = auth->stopping;
        unsigned char digest[DIGEST_SIZE];
        const bool digested = digest_of(auth, check, digest);
        bool granted = digested && known(&auth->granted, digest); /* by one that waited before it */
        const bool denied = digested && known(&auth->denied, digest);
        pthread_mutex_unlock(&auth->mutex);
        if (!granted && !denied && !stopping)
            granted = verify(check);
        pthread_mutex_lock(&auth->mutex);
        struct outcomes *outcomes = granted ? &auth->granted : &auth->denied;
        if (digested && !stopping && !known(outcomes, digest))
            keep(outcomes, digest);
        pthread_mutex_unlock(&auth->mutex);
        check->outcome = granted ? AUTH_GRANTED : AUTH_DENIED;
        check->done(check);
        pthread_mutex_lock(&auth->mutex);
    }
    pthread_mutex_unlock(&auth->mutex);
    return NULL;
}

struct auth *auth_start(void)
{
    struct auth *auth = calloc(1, sizeof *auth);
    if (!auth)
        return NULL;
    pthread_mutex_init(&auth->mutex, NULL);
    pthread_cond_init(&auth->wake, NULL);
    auth->last = &auth->first;
    if (gnutls_rnd(GNUTLS_RND_KEY, auth->key, KEY_SIZE) != 0 || pthread_create(&auth->thread, NULL, run, auth) != 0) {
        free(auth);
        return NULL;
    }
    return auth;
}

void auth_stop(struct auth *auth)
{
    pthread_mutex_lock(&auth->mutex);
    auth->stopping = true;
    pthread_cond_signal(&auth->wake);
    pthread_mutex_unlock(&auth->mutex);
    pthread_join(auth->thread, NULL);
}

void auth_free(struct auth *auth)
{
    pthread_cond_destroy(&auth->wake);
    pthread_mutex_destroy(&auth->mutex);
    free(auth);
}

enum auth_outcome auth_check(struct auth *auth, struct auth_check *check)
{
    unsigned char digest[DIGEST_SIZE];
    if (!digest_of(auth, check, digest))
        return AUTH_BUSY;
    enum auth_outcome outcome = AUTH_LATER;
    pthread_mutex_lock(&auth->mutex);
    if (known(&auth->granted, digest)) {
        outcome = AUTH_GRANTED;
    } else if (known(&auth->denied, digest)) {
        outcome = AUTH_DENIED;
    } else if (auth->stopping || auth->n_waiting >= WAITING_MAX) {
        outcome = AUTH_BUSY;
    } else {
        check->next = NULL;
        *auth->last = check;
        auth->last = &check->next;
        auth->n_waiting++;
        pthread_cond_signal(&auth->wake);
    }
    pthread_mutex_unlock(&auth->mutex);
    return outcome;
}
