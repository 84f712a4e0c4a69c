/* SPDX-License-Identifier: Apache-2.0
 *
 * A local stand-in for a provider of language models: a process that answers on a unix socket, with latency, rate
 * limits, errors, and requests that it never answers. What it says is made up; tokens, costs and failures are as real
 * for the caller as those of a model.
 *
 *     worker                                     stand-in
 *       connect, send llm_request  ---------->     draws latency and fate
 *       wait, at most LLM_TIMEOUT_MS
 *       receive llm_response       <----------     after the latency
 *       close
 */
#ifndef ORCHESTRATOR_LLM_H
#define ORCHESTRATOR_LLM_H

#include <stdint.h>
#include <sys/types.h>

#define LLM_TEXT_MAX   8192
#define LLM_TIMEOUT_MS 600

enum llm_task { LLM_PLAN, LLM_EDIT, LLM_RESOLVE, LLM_TASKS };

enum llm_result { LLM_SUCCESS, LLM_ERROR, LLM_RATE_LIMIT, LLM_TIMEOUT };

struct llm_model {
    const char *name;
    const char *provider;
};

#define LLM_MODELS 4
extern const struct llm_model llm_models[LLM_MODELS];

struct llm_request {
    uint32_t model; /* index in llm_models */
    uint32_t task;  /* enum llm_task */
    char prompt[LLM_TEXT_MAX];
};

struct llm_response {
    uint32_t result; /* LLM_SUCCESS, LLM_ERROR or LLM_RATE_LIMIT */
    uint32_t prompt_tokens;
    uint32_t completion_tokens;
    char completion[LLM_TEXT_MAX];
};

/* Starts the stand-in, listening at `path`. Returns its pid, or -1 after saying on stderr what failed. It ends with
 * this process or on SIGTERM. */
pid_t llm_server_start(const char *path, uint64_t seed);

/* One request, waiting for its end. On success *response is filled in. */
enum llm_result llm_request(const char *path, unsigned model, enum llm_task task, const char *prompt,
                            struct llm_response *response);

/* ---- what it says: pure functions, in llm_text.c ---------------------------------------------------------------- */

/* `completion` gets the prompt with one of its lines changed: which one, and to what, follows from `choice`. */
void llm_edit(const char *prompt, uint64_t choice, char completion[LLM_TEXT_MAX]);

/* `completion` gets the prompt without conflict markers, and of each conflict one side. A careless one leaves the
 * markers of the last conflict in. */
void llm_resolve(const char *prompt, uint64_t choice, int careless, char completion[LLM_TEXT_MAX]);

/* Whether a text still has conflict markers. */
int llm_has_conflict(const char *text);

/* The usual rule of thumb: four characters a token. */
uint32_t llm_tokens(const char *text);

#endif
