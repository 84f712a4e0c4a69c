/* SPDX-License-Identifier: Apache-2.0
 *
 * The stand-in's process: one poll loop over conversations, each answered when its latency is over. */
#define _GNU_SOURCE
#include "clock.h"
#include "llm.h"
#include "random.h"

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONVERSATIONS    128
#define LATENCY_MIN_MS   15
#define LATENCY_SPAN_MS  120
#define PERCENT_ERROR    3
#define PERCENT_NEVER    2
#define PERCENT_CARELESS 20
/* Each model takes a burst of requests, and then so many a second. */
#define RATE_BURST      6.0
#define RATE_PER_SECOND 12.0

const struct llm_model llm_models[LLM_MODELS] = {
    {"claude-3-5-sonnet", "anthropic"},
    {"gpt-4o-mini", "openai"},
    {"gemini-1.5-flash", "google"},
    {"local-stand-in", "local"}, /* in no price table */
};

struct conversation {
    int64_t due_ms; /* 0: the request has not come yet */
    struct llm_response response;
    int silent; /* will never be answered */
};

struct server {
    struct random random;
    double credit[LLM_MODELS]; /* requests that a model takes now */
    int64_t credited_ms;
    struct pollfd polled[1 + CONVERSATIONS]; /* [0] listens */
    struct conversation conversation[1 + CONVERSATIONS];
    nfds_t n;
};

static int take_credit(struct server *server, unsigned model, int64_t now)
{
    double earned = (double)(now - server->credited_ms) * RATE_PER_SECOND / 1000;
    server->credited_ms = now;
    for (unsigned i = 0; i < LLM_MODELS; i++)
        server->credit[i] = server->credit[i] + earned < RATE_BURST ? server->credit[i] + earned : RATE_BURST;
    if (server->credit[model] < 1)
        return 0;
    server->credit[model] -= 1;
    return 1;
}

static void think(struct server *server, const struct llm_request *request, struct llm_response *response)
{
    uint64_t choice = random_next(&server->random);
    response->result = LLM_SUCCESS;
    if (request->task == LLM_EDIT)
        llm_edit(request->prompt, choice, response->completion);
    else if (request->task == LLM_RESOLVE)
        llm_resolve(request->prompt, choice, random_percent(&server->random, PERCENT_CARELESS), response->completion);
    else
        snprintf(response->completion, sizeof(response->completion),
                 "Step 1: read the modules. Step 2: change module %u. Step 3: merge.\n", (unsigned)(choice % 8));
    response->prompt_tokens = llm_tokens(request->prompt);
    response->completion_tokens = llm_tokens(response->completion);
}

/* The request of conversation i has come: its fate is decided here. Returns -1 if it makes no sense. */
static int take_request(struct server *server, nfds_t i)
{
    struct conversation *conversation = &server->conversation[i];
    static struct llm_request request;
    ssize_t size = recv(server->polled[i].fd, &request, sizeof(request), MSG_DONTWAIT);
    if (size != (ssize_t)sizeof(request) || request.model >= LLM_MODELS || request.task >= LLM_TASKS ||
        !memchr(request.prompt, '\0', sizeof(request.prompt)))
        return -1;

    int64_t now = now_ms();
    conversation->due_ms = now + LATENCY_MIN_MS + random_below(&server->random, LATENCY_SPAN_MS);
    if (!take_credit(server, request.model, now)) {
        conversation->response.result = LLM_RATE_LIMIT;
        conversation->due_ms = now;
    } else if (random_percent(&server->random, PERCENT_ERROR)) {
        conversation->response.result = LLM_ERROR;
    } else if (random_percent(&server->random, PERCENT_NEVER)) {
        conversation->silent = 1;
        conversation->due_ms = now + 10 * LLM_TIMEOUT_MS;
    } else {
        think(server, &request, &conversation->response);
    }
    return 0;
}

static void open_conversation(struct server *server)
{
    int fd = accept4(server->polled[0].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    server->polled[server->n] = (struct pollfd){.fd = fd, .events = POLLIN};
    server->conversation[server->n++] = (struct conversation){0};
}

static void close_conversation(struct server *server, nfds_t i)
{
    close(server->polled[i].fd);
    server->n--;
    server->polled[i] = server->polled[server->n];
    server->conversation[i] = server->conversation[server->n];
}

/* Milliseconds until the next answer is due; -1: none is awaited. */
static int until_next(const struct server *server)
{
    int64_t next = 0, now = now_ms();
    for (nfds_t i = 1; i < server->n; i++) {
        int64_t due = server->conversation[i].due_ms;
        if (due && (!next || due < next))
            next = due;
    }
    return !next ? -1 : next > now ? (int)(next - now) : 0;
}

static _Noreturn void serve(struct server *server)
{
    for (;;) {
        server->polled[0].events = server->n <= CONVERSATIONS ? POLLIN : 0; /* full: callers wait in the queue */
        if (poll(server->polled, server->n, until_next(server)) < 0 && errno != EINTR)
            _exit(1);
        int64_t now = now_ms();
        for (nfds_t i = server->n - 1; i > 0; i--) { /* downwards: closing one moves the last one to its place */
            struct conversation *conversation = &server->conversation[i];
            short happened = server->polled[i].revents;
            if (conversation->due_ms && conversation->due_ms <= now) {
                if (!conversation->silent)
                    send(server->polled[i].fd, &conversation->response, sizeof(conversation->response), MSG_NOSIGNAL);
                close_conversation(server, i);
            } else if (happened && (conversation->due_ms || take_request(server, i) != 0)) {
                close_conversation(server, i); /* the caller has gone, or talks nonsense */
            }
        }
        if (server->polled[0].revents)
            open_conversation(server);
    }
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        warnx("%s: too long for a socket, at most %zu bytes: set a shorter $TMPDIR", path,
              sizeof(address.sun_path) - 1);
        return -1;
    }
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, CONVERSATIONS) != 0) {
        warn("%s", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

pid_t llm_server_start(const char *path, uint64_t seed)
{
    int fd = listen_at(path);
    if (fd < 0)
        return -1;
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        warn("fork");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setpgid(0, 0); /* Ctrl-C is for the parent, which ends this process when no worker needs it any more */
        static struct server server;
        server.random.state = seed;
        server.credited_ms = now_ms();
        server.polled[0] = (struct pollfd){.fd = fd, .events = POLLIN};
        server.n = 1;
        if (getppid() == parent)
            serve(&server);
        _exit(1);
    }
    close(fd);
    return pid;
}
