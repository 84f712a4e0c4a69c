/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of a language model, measured. */
#ifndef ORCHESTRATOR_LLM_CLIENT_H
#define ORCHESTRATOR_LLM_CLIENT_H

#include "llm.h"
#include "random.h"

struct llm_client {
    const char *path; /* of the provider's socket */
    struct random random;
};

/* One request to llm_models[model]. */
enum llm_result invoke_llm(const struct llm_client *client, unsigned model, enum llm_task task, const char *prompt,
                           struct llm_response *response);

/* Asks a model of its own choice, and again after a rate limit. Returns 0, or -1 when there is no answer. */
int ask_llm(struct llm_client *client, enum llm_task task, const char *prompt, struct llm_response *response);

#endif
