/* SPDX-License-Identifier: Apache-2.0
 *
 * Passwords against bcrypt hashes. A check costs tens of milliseconds of CPU by design, so it happens on a thread of
 * its own, one at a time, and its outcome is kept.
 *
 * What is kept is found by a keyed digest (HMAC-SHA-256 under a key that this process made up) of user, hash and
 * password: nobody can make two different ones collide, and a new hash in the configuration makes old outcomes
 * unfindable. A user that does not exist costs a check all the same. */
#ifndef EXPORTER_AUTH_H
#define EXPORTER_AUTH_H

#include "web_config.h"

enum auth_outcome { AUTH_GRANTED, AUTH_DENIED, AUTH_LATER, AUTH_BUSY };

struct auth_check {                  /* a check under way; zero it first */
    const char *user, *password;     /* stay valid until `done` */
    const struct web_config *config; /* the same */
    void (*done)(struct auth_check *check);
    enum auth_outcome outcome; /* for `done`: GRANTED or DENIED */
    struct auth_check *next;   /* auth's own */
};

struct auth;
/* NULL: it could not be started. */
struct auth *auth_start(void);
/* Answers what is under way with DENIED, then ends the thread. Further checks are BUSY. */
void auth_stop(struct auth *auth);
void auth_free(struct auth *auth); /* after it was stopped */

/* Any thread. GRANTED or DENIED if that is known. LATER: `done` is called by auth's thread when it is; it may be called
 * before this returns. BUSY: too many are waiting. */
enum auth_outcome auth_check(struct auth *auth, struct auth_check *check);

#endif
