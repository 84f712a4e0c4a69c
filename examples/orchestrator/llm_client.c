/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls of a language model, measured. */
#define _GNU_SOURCE
#include "llm_client.h"
#include "catalogue.h"
#include "clock.h"
#include "tallied.h"

#define ATTEMPTS 3

enum llm_result invoke_llm(const struct llm_client *client, unsigned model, enum llm_task task, const char *prompt,
                           struct llm_response *response)
{
    const char *name = llm_models[model].name, *provider = llm_models[model].provider;

    TRACK_REQUEST(metadata, name, provider);
    enum llm_result result = llm_request(client->path, model, task, prompt, response);
    switch (result) {
    case LLM_SUCCESS:
        metadata.prompt_tokens = response->prompt_tokens;
        metadata.completion_tokens = response->completion_tokens;
        metadata.cost = estimate_llm_cost(name, response->prompt_tokens, response->completion_tokens);
        metadata.result = "success";
        break;
    case LLM_RATE_LIMIT:
        metadata.result = "rate_limit";
        tallied_counter_add_with(llm_metrics.rate_limit_events, LIBSHM_VALUES(name, provider), 1);
        break;
    case LLM_TIMEOUT:
        metadata.result = "timeout";
        break;
    case LLM_ERROR:
        metadata.result = "error";
        break;
    }
    return result;
}

int ask_llm(struct llm_client *client, enum llm_task task, const char *prompt, struct llm_response *response)
{
    for (unsigned attempt = 1; attempt <= ATTEMPTS; attempt++) {
        enum llm_result result = invoke_llm(client, random_below(&client->random, LLM_MODELS), task, prompt, response);
        if (result != LLM_RATE_LIMIT)
            return result == LLM_SUCCESS ? 0 : -1;
        sleep_ms(40 * attempt); /* another model may have room */
    }
    return -1;
}
