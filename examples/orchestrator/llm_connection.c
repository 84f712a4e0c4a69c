/* SPDX-License-Identifier: Apache-2.0
 *
 * The callers' end of the socket. */
#define _GNU_SOURCE
#include "clock.h"
#include "llm.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static enum llm_result await_response(int fd, int64_t deadline, struct llm_response *response)
{
    for (;;) {
        int64_t left = deadline - now_ms();
        if (left <= 0)
            return LLM_TIMEOUT;
        int ready = poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, (int)left);
        if (ready < 0 && errno != EINTR)
            return LLM_ERROR;
        if (ready > 0)
            break;
    }
    if (recv(fd, response, sizeof(*response), MSG_DONTWAIT) != (ssize_t)sizeof(*response) ||
        response->result > LLM_RATE_LIMIT || !memchr(response->completion, '\0', sizeof(response->completion)))
        return LLM_ERROR;
    return (enum llm_result)response->result;
}

enum llm_result llm_request(const char *path, unsigned model, enum llm_task task, const char *prompt,
                            struct llm_response *response)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct llm_request request = {.model = model, .task = task};
    int64_t deadline = now_ms() + LLM_TIMEOUT_MS;

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    snprintf(request.prompt, sizeof(request.prompt), "%s", prompt);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return LLM_ERROR;
    /* A full queue would make both wait: the stand-in is behind by its whole queue then. */
    struct timeval limit = {.tv_usec = LLM_TIMEOUT_MS * 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    enum llm_result result = LLM_ERROR;
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
        send(fd, &request, sizeof(request), MSG_NOSIGNAL) == (ssize_t)sizeof(request))
        result = await_response(fd, deadline, response);
    else if (errno == EAGAIN)
        result = LLM_TIMEOUT;
    close(fd);
    return result;
}
