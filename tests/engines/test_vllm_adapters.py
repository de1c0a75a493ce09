import json

import pytest

from tasks.catalog import UserError
from tasks.engines import get_engine
from tasks.engines.engine import Request, Text
from tasks.engines.identity import adapter_identity
from tasks.schema import Message, Sampling, Training
from tests.fakes.vllm_api import VllmAPI

TRAINING = Training(base_model="standin", rank=4)
QUESTION = [Message(role="user", content="Where does the lane lead?")]


def engine_at(api, training=TRAINING):
    return get_engine(training, "", api.address)


@pytest.fixture
def adapter(tmp_path):
    """A folder in PEFT layout, as the local engine writes one."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"r": 4, "lora_alpha": 8}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return folder


async def drawn(engine, checkpoint, count=3, **sampling):
    requests = [Request(engine.render(QUESTION), seed) for seed in range(count)]
    replies = engine.sample(checkpoint, requests, Sampling(**sampling))
    return {reply.request: reply async for some in replies for reply in some}


async def test_the_server_is_asked_with_the_tokens_that_the_local_engine_reads_and_a_seed_for_each_answer():
    with VllmAPI("standin") as api:
        engine = engine_at(api)
        await engine.preflight()
        replies = await drawn(engine, engine.untuned(), max_tokens=5, temperature=0.7)
        assert [body["seed"] for body in sorted(api.asked, key=lambda body: body["seed"])] == [0, 1, 2]
        body = api.asked[0]
    assert body["prompt"] == engine.render(QUESTION)
    assert body["stop_token_ids"] == engine.stop()
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("standin", 5, 0.7)
    assert (body["top_k"], body["min_p"], body["repetition_penalty"]) == (-1, 0.0, 1.0)
    assert sorted(replies) == [0, 1, 2]
    assert {reply.state for reply in replies.values()} == {"complete"}
    assert {reply.text for reply in replies.values()} == {engine.format.decode(api.answer)}
    assert {reply.tokens for reply in replies.values()} == {len(api.answer) + 1}


async def test_an_older_server_that_does_not_say_which_tokens_an_answer_has_is_refused_and_its_answers_are_not_empty():
    with VllmAPI("standin") as api:
        api.says_tokens = False
        with pytest.raises(
            UserError, match=r"does not say which tokens an answer has \(token_ids\); take a newer vLLM"
        ):
            await drawn(engine := engine_at(api), engine.untuned())


async def test_an_adapter_is_handed_over_once_by_its_folder_under_a_name_of_its_content(adapter):
    with VllmAPI("standin") as api:
        engine = engine_at(api)
        tuned = engine.adapted(str(adapter))
        await drawn(engine, tuned)
        await drawn(engine, tuned)
        name = f"spillover-{adapter_identity(adapter)}"
        assert api.loaded == [(name, str(adapter))]
        assert {body["model"] for body in api.asked} == {name}
        (adapter / "adapter_model.safetensors").write_bytes(b"others")
        await drawn(engine, engine.adapted(str(adapter)))
        assert [path for _, path in api.loaded] == [str(adapter)] * 2


async def test_a_server_that_was_started_anew_is_handed_the_adapter_once_more_and_asked_for_the_rest_alone(adapter):
    with VllmAPI("standin") as api:
        api.restarts = [2]
        engine = engine_at(api)
        replies = await drawn(engine, engine.adapted(str(adapter)), count=6)
        assert sorted(replies) == list(range(6))
        assert sorted(body["seed"] for body in api.asked) == list(range(6))
        api.restarts = [len(api.asked) + 1, len(api.asked) + 2]
        with pytest.raises(
            UserError, match=r"has lost the adapter spillover-\w+ twice while it was asked, as a server"
        ):
            await drawn(engine, engine.adapted(str(adapter)), count=6)


async def test_the_base_model_is_found_by_its_name_or_by_its_folder_and_another_is_refused():
    with VllmAPI("other") as api:
        with pytest.raises(UserError, match=r"does not serve standin \(it has other\); start it with --served-model"):
            await engine_at(api).preflight()
        api.root = str(engine_at(api).folder.resolve())
        await engine_at(api).preflight()


async def test_a_server_that_takes_no_adapters_says_what_it_is_to_be_started_with(adapter):
    with VllmAPI("standin", takes_adapters=False) as api:
        start = r"start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=True and --enable-lora --max-lora-rank 4"
        with pytest.raises(UserError, match=start):
            await engine_at(api).preflight()
        with pytest.raises(UserError, match=start):
            await drawn(engine := engine_at(api), engine.adapted(str(adapter)))


async def test_an_adapter_that_the_server_cannot_read_is_one_sentence(adapter):
    with VllmAPI("standin", refusal="LoRA rank 4 is greater than max_lora_rank 2") as api:
        engine = engine_at(api)
        with pytest.raises(UserError, match=r"cannot load the adapter in /.* \(400: .*max_lora_rank 2"):
            await drawn(engine, engine.adapted(str(adapter)))
        assert api.asked == []


async def test_logprobs_are_those_of_each_token_of_an_answer_where_no_other_is_allowed():
    with VllmAPI("standin") as api:
        engine = engine_at(api)
        text = Text(engine.render(QUESTION), engine.answer_tokens("Yes it does", False))
        found = [pair async for some in engine.logprobs(engine.untuned(), [text]) for pair in some]
        steps = sorted(api.asked, key=lambda body: len(body["prompt"]))
    assert [body["allowed_token_ids"] for body in steps] == [[token] for token in text.answer]
    assert [body["prompt"] for body in steps] == [text.prompt + text.answer[:n] for n in range(len(text.answer))]
    assert found == [(0, pytest.approx(-0.5 * len(text.answer)))]


async def test_a_server_that_is_not_there_is_one_sentence():
    with pytest.raises(UserError, match=r"no server answers at http://127.0.0.1:9/v1 .* mend sampling.base_url"):
        await get_engine(TRAINING, "", "http://127.0.0.1:9/v1").preflight()
