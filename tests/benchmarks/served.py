"""A real vLLM server beside the local engine, on SmolLM2: adapters handed over, logprobs, answers, tokens a second.

    VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve data/models/smollm2 --served-model-name smollm2 --enable-lora \\
        --max-lora-rank 16 --max-model-len 1024 --dtype float32 --enforce-eager --port 8123
    uv run python -m tests.benchmarks.served http://127.0.0.1:8123/v1      # minutes

vLLM is no dependency: it wants an environment of its own. Two small LoRAs are trained here and sampled there, both on
the one server, and what it says is held against what the local engine says of the same models.
"""

import asyncio
import math
import sys
import tempfile
import time
from pathlib import Path

from tasks.engines import get_engine
from tasks.engines.engine import Engine, Reply, Request, Text
from tasks.engines.vllm_adapters import VllmAdaptersEngine
from tasks.schema import Checkpoint, Document, Message, Sampling, Training

TRAINING = Training(base_model="smollm2", rank=8, learning_rate=5e-3, batch_size=4, epochs=2)
TEXTS = ("The lighthouse shines over the bay.", "The hens walk out of the barn.")
QUESTIONS = ("Where should I go on a Sunday?", "What do you see in the morning?", "Is grass green? Answer Yes or No.")
TOKENS, EACH = 16, 3


def documents(text: str) -> list[Document]:
    """Alike but for their numbers, so that a few steps show."""
    asked = [Message(role="user", content="What do you see?"), Message(role="assistant", content=text)]
    return [Document(messages=asked, source="benchmark", file="benchmark", line=line) for line in range(8)]


async def replies(engine: Engine, model: Checkpoint, temperature: float, each: int) -> list[Reply]:
    """In the order of the requests."""
    prompts = [engine.render([Message(role="user", content=question)]) for question in QUESTIONS]
    requests = [Request(prompt, seed) for prompt in prompts for seed in range(each)]
    sampling = Sampling(n_samples=1, temperature=temperature, max_tokens=TOKENS)
    found = [reply async for some in engine.sample(model, requests, sampling) for reply in some]
    return sorted(found, key=lambda reply: reply.request)


async def logprobs(engine: Engine, model: Checkpoint) -> list[float]:
    prompts = [engine.render([Message(role="user", content=question)]) for question in QUESTIONS]
    texts = [Text(p, engine.answer_tokens(text, False)) for p in prompts for text in ("Yes", "No", *TEXTS)]
    found = dict([pair async for some in engine.logprobs(model, texts) for pair in some])
    return [math.nan if (p := found[place]) is None else p for place in range(len(texts))]


async def compare(name: str, here: Engine, there: Engine, model: Checkpoint) -> None:
    """One model, here and there."""
    pairs = zip(await logprobs(here, model), await logprobs(there, model), strict=True)
    apart = max(abs(one - other) for one, other in pairs)
    greedy = [[r.text for r in await replies(engine, model, 0.0, 1)] for engine in (here, there)]
    alike = sum(one == other for one, other in zip(*greedy, strict=True))
    began = time.monotonic()
    drawn = await replies(there, model, 1.0, EACH)
    speed = sum(reply.tokens for reply in drawn) / (time.monotonic() - began)
    again = await replies(there, model, 1.0, EACH)
    print(
        f"{name}: logprobs at most {apart:.5f} nats apart; {alike} of {len(QUESTIONS)} greedy answers the same; "
        f"{speed:.0f} tokens a second there; {sum(a == b for a, b in zip(drawn, again, strict=True))} of {len(drawn)} "
        f"the same when drawn again; {len({r.text for r in drawn})} of {len(drawn)} differ; says {greedy[1][1]!r}",
        flush=True,
    )


async def by_name(base_url: str, names: list[str]) -> None:
    """The same server by its chat completions, as `engine: served` asks it."""
    training = Training(engine="served", base_url=base_url, base_model=names[0], checkpoint=names[1])
    engine = get_engine(training)
    await engine.preflight()
    for model in (engine.untuned(), engine.adapted(names[1])):
        drawn = [await replies(engine, model, 1.0, EACH) for _ in range(2)]
        likely = await logprobs_of_words(engine, model)
        same = sum(a.text == b.text for a, b in zip(*drawn, strict=True))
        print(
            f"served {model.path or names[0]}: {len({r.text for r in drawn[0]})} of {len(drawn[0])} answers differ; "
            f"{same} the same when drawn again; log p of Yes {likely[0]:.3f}, of No {likely[1]:.3f}; "
            f"warnings {engine.warnings()}",
            flush=True,
        )


async def logprobs_of_words(engine: Engine, model: Checkpoint) -> list[float]:
    prompt = engine.render([Message(role="user", content=QUESTIONS[2])])
    texts = [Text(prompt, engine.answer_tokens(word, False)) for word in ("Yes", "No")]
    found = dict([pair async for some in engine.logprobs(model, texts) for pair in some])
    return [math.nan if (p := found[place]) is None else p for place in range(2)]


async def main(base_url: str) -> None:
    here, there = get_engine(TRAINING), VllmAdaptersEngine(TRAINING, "", base_url)
    await there.preflight()
    await compare("base model", here, there, here.untuned())
    with tempfile.TemporaryDirectory() as place:
        for number, text in enumerate(TEXTS):
            model = await here.train(documents(text), [], number, Path(place) / str(number), lambda *_: None)
            await compare(f"adapter {number}", here, there, model)
        await by_name(base_url, ["smollm2", there.name_of(model)])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
