# SPDX-License-Identifier: Apache-2.0
"""Calls of a language model, and a stand-in for one: it takes its time, counts tokens, and fails now and then."""
import asyncio
import random
from types import SimpleNamespace

from metrics import llm_metrics, estimate_llm_cost

MODELS = [SimpleNamespace(model_name="gpt-4o", provider="openai"),
          SimpleNamespace(model_name="gpt-4o-mini", provider="openai"),
          SimpleNamespace(model_name="claude-3-5-sonnet", provider="anthropic")]


class RateLimitError(Exception):
    pass


class StandIn:
    async def ainvoke(self, prompt):
        await asyncio.sleep(random.expovariate(20))
        luck = random.random()
        if luck < 0.05:
            raise RateLimitError("too many requests")
        if luck < 0.08:
            raise TimeoutError("no answer")
        usage = {"prompt_tokens": len(prompt) // 4 + 200, "completion_tokens": random.randrange(50, 2000)}
        return SimpleNamespace(content=prompt, response_metadata={"usage": usage})


llm = StandIn()


async def invoke_llm(model_config, prompt):
    model_name = model_config.model_name
    provider = model_config.provider

    with llm_metrics.track_request(model=model_name, provider=provider) as metadata:
        try:
            response = await llm.ainvoke(prompt)

            # Extract token usage from response
            if hasattr(response, 'response_metadata'):
                usage = response.response_metadata.get('usage', {})
                prompt_tokens = usage.get('prompt_tokens', 0)
                completion_tokens = usage.get('completion_tokens', 0)

                metadata["prompt_tokens"] = prompt_tokens
                metadata["completion_tokens"] = completion_tokens

                # Estimate cost
                cost = estimate_llm_cost(model_name, prompt_tokens, completion_tokens)
                metadata["cost"] = cost

                metadata["result"] = "success"

            return response

        except RateLimitError:
            metadata["result"] = "rate_limit"
            llm_metrics.rate_limit_events.labels(
                model=model_name,
                provider=provider
            ).inc()
            raise

        except TimeoutError:
            metadata["result"] = "timeout"
            raise
