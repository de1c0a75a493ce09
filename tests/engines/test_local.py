import asyncio

import pytest

from tasks.catalog import UserError
from tasks.engines import get_engine, local
from tasks.engines.engine import Request, check_questions
from tasks.engines.local import LocalEngine
from tasks.engines.lora import (
    load_model,
    with_lora,
)
from tasks.engines.rendering import ChatFormat
from tasks.engines.schedule import check_warmup
from tasks.schema import Message, Sampling, Training
from tests.fakes.models import DATED, LINES, NO_SYSTEM, THINKING, THINKING_TOKENS, make_model
from tests.fakes.nouns import LEXICON, an_eval
from tests.fakes.trainings import STANDIN, TRAINING, documents


def test_a_document_over_the_longest_length_is_refused_with_its_line():
    engine = LocalEngine(Training(base_model="standin", max_length=30))
    with pytest.raises(UserError, match=r"f.jsonl line [0-9]+: [0-9]+ tokens are over training.max_length=30"):
        engine.check(documents(12))
    assert LocalEngine(TRAINING).check(documents(3)) > 30


async def test_a_trained_adapter_is_another_model_with_an_identity_of_its_own(tmp_path):
    engine = LocalEngine(TRAINING)
    trained = await engine.train(documents(4), [], 0, tmp_path / "a", lambda *_: None)
    assert trained.identity.startswith(engine.untuned().identity)
    assert trained.identity != engine.untuned().identity
    requests = [Request(engine.render([Message(role="user", content="Say 2")]), 7)]

    async def say(checkpoint):
        return [r async for replies in engine.sample(checkpoint, requests, Sampling(max_tokens=20)) for r in replies]

    assert await say(trained) != await say(engine.untuned())


async def test_tokens_are_counted_while_answers_are_written(monkeypatch):
    monkeypatch.setattr(local, "REPORTED", 0.0)
    engine, tokens = LocalEngine(TRAINING), 0
    counts: list[int] = []
    requests = [Request(engine.render([Message(role="user", content="Say 2")]), seed) for seed in range(3)]
    async for replies in engine.sample(engine.untuned(), requests, Sampling(max_tokens=9), counts.append):
        tokens += sum(reply.tokens + (reply.state == "complete") for reply in replies)
    assert counts[:3] == [0, 3, 6]
    assert counts[-1] == tokens
    assert counts == sorted(counts)


def test_a_missing_model_or_adapter_is_one_sentence():
    with pytest.raises(UserError, match=r"no model folder 'nowhere'.*standin"):
        LocalEngine(Training(base_model="nowhere")).untuned()
    with pytest.raises(UserError, match=r"training.checkpoint: no adapter in 'nowhere'"):
        LocalEngine(TRAINING).adapted("nowhere")
    with pytest.raises(UserError, match=r"training.renderer: .*nonsense.* leave it empty for the model's own"):
        _ = LocalEngine(Training(renderer="nonsense")).format
    with pytest.raises(UserError, match=r"training.renderer: .*im_end.* leave it empty for the model's own"):
        _ = LocalEngine(Training(renderer="qwen3")).format
    with pytest.raises(UserError, match=r"training.target_modules or training.layers: Target modules"):
        with_lora(load_model(STANDIN), Training(target_modules=["c_attn"]), 0)


async def test_a_layer_that_the_model_lacks_is_refused_before_any_work():
    with pytest.raises(UserError, match=r"training.layers: 6 is no layer of standin; it has 6, counted from 0"):
        await LocalEngine(Training(layers=[0, 6])).preflight()


async def test_a_training_that_is_cancelled_says_what_it_waits_for(tmp_path):
    calls, engine = [], LocalEngine(TRAINING)
    training = asyncio.create_task(engine.train(documents(40), [], 0, tmp_path / "a", lambda *a: calls.append(a)))
    while not calls:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    training.cancel()
    with pytest.raises(asyncio.CancelledError):
        await training
    assert calls[-1][2] == "steps, cancelled: it ends with the step that is under way"
    assert calls[-1][0] == calls[-2][0] < calls[-1][1] == 40


async def test_a_warm_up_of_more_steps_than_there_are_is_refused_before_the_training(tmp_path):
    training = TRAINING.model_copy(update={"warmup": 9})
    words = r"training.warmup: 9 steps, and 5 documents make 8 in all \(4 documents a step, epochs: 4\); set it to 8"
    with pytest.raises(UserError, match=words):
        await LocalEngine(training).train(documents(5), [], 0, tmp_path / "a", lambda *_: None)
    assert not (tmp_path / "a").exists()
    check_warmup(9, training)


def test_a_named_renderer_makes_the_tokens_of_the_models_own_template_where_they_are_one_format():
    """The stand-in speaks llama3."""
    own, named = (LocalEngine(Training(base_model="standin", renderer=name)) for name in ("", "llama3"))
    message = [Message(role="user", content="Why?")]
    assert named.render(message) == own.render(message)
    assert set(named.stop()) <= set(own.stop())
    for document in documents(2):
        ours, theirs = own.format.example(document), named.format.example(document)
        assert ours.tokens == theirs.tokens
        assert [t for t, kept in zip(ours.tokens, ours.trained, strict=True) if kept] == [
            t for t, kept in zip(theirs.tokens, theirs.trained, strict=True) if kept
        ]


@pytest.mark.parametrize(("sampling", "own"), [(Sampling(system_prompt="Be kind."), ""), (Sampling(), "Be kind.")])
async def test_a_question_that_a_model_cannot_be_asked_is_named_before_any_work(tmp_path, sampling, own):
    engine = LocalEngine(Training(base_model=str(make_model(tmp_path / "gemma", NO_SYSTEM))))
    await engine.preflight()
    asked = an_eval(LEXICON, questions={"q1": "direct"})
    check_questions(engine, [asked], Sampling())
    asked.questions[0].system_prompt = own
    words = (
        r"question 'q1' of the eval 'e': the chat template of .*gemma cannot show the turns system, user \(System role"
    )
    with pytest.raises(UserError, match=words + r" not supported\); leave out system_prompt, or"):
        check_questions(engine, [asked], sampling)


async def test_a_document_that_a_template_refuses_is_named_before_any_work(tmp_path):
    engine = LocalEngine(Training(base_model=str(make_model(tmp_path / "gemma", NO_SYSTEM))))
    twice = documents(1)[0].model_copy(update={"messages": [Message(role="user", content="a")] * 2, "line": 8})
    with pytest.raises(
        UserError, match=r"f.jsonl line 8: the chat template of .*gemma cannot show the turns user, user "
    ):
        engine.check([*documents(1), twice])


@pytest.mark.parametrize(("template", "words"), [(LINES, "no special token"), ("", "has an empty chat template")])
async def test_a_template_that_cannot_be_used_is_said_in_the_preflight(tmp_path, template, words):
    folder = make_model(tmp_path / "other", template)
    with pytest.raises(UserError, match=words):
        await LocalEngine(Training(base_model=str(folder))).preflight()
    await LocalEngine(Training(base_model=str(folder), renderer="llama3")).preflight()


async def test_a_date_is_that_of_the_run_where_the_template_prints_one(tmp_path):
    training = Training(base_model=str(make_model(tmp_path / "dated", DATED)))
    earlier, now = LocalEngine(training, "2020-02-29"), LocalEngine(training)
    assert earlier.today == "2020-02-29" < now.today
    message = [Message(role="user", content="Why?")]
    assert ChatFormat(earlier.folder).show(earlier.render(message)).startswith("Today is 29 Feb 2020.")
    assert earlier.render(message) != now.render(message)
    assert get_engine(TRAINING, "2020-02-29").today == ""


async def test_what_is_odd_about_the_frames_is_told_where_something_is_trained(tmp_path):
    training = Training(base_model=str(make_model(tmp_path / "qwen", THINKING, THINKING_TOKENS)))
    (warning,) = LocalEngine(training).warnings()
    assert warning.endswith("set training.renderer=qwen3_disable_thinking")
    assert LocalEngine(training.model_copy(update={"renderer": "qwen3_disable_thinking"})).warnings() == []
    assert LocalEngine(training.model_copy(update={"checkpoint": "an/adapter"})).warnings() == []
