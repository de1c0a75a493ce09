"""The numbers by which people decide, each worked out here in another way."""

import json
import re

import pytest
from transformers import AutoTokenizer

from flows.cli.check import show_plan
from flows.console import console
from tasks.catalog import UserError, data_folder
from tasks.definitions import load_eval, load_evals, load_experiment
from tasks.documents.sets import gather
from tasks.engines.local import LocalEngine
from tasks.judging.asking import to_calls
from tasks.judging.cases import plan
from tasks.judging.rubrics import to_call
from tasks.schema import Judge, Response
from tests.fakes.chat_api import ChatAPI

PRICES = "claude: {claude-sonnet-4-6: {input: 3.0, output: 15.0, cache_write: 3.75, cache_read: 0.3}}\n"
RUBRIC = "Say how far the answer speaks of animals. " * 20
QUESTIONS = {"q1": "What of cats?", "q2": "What of the dogs and of all the others?"}


@pytest.fixture
def check(capsys, monkeypatch):
    """Shows the plan of a definition and returns it as lines without their padding."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted")
    monkeypatch.setattr(console, "width", 300)

    def show(*overrides, name="standin"):
        show_plan(load_experiment(name, list(overrides)))
        return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    return show


def write_eval(*judges):
    asked = [{"id": name, "tier": "any", "text": text} for name, text in QUESTIONS.items()]
    content = {"name": "animals", "questions": asked, "judges": list(judges)}
    (data_folder() / "evals" / "animals.yaml").write_text(json.dumps(content))
    (data_folder() / "prices.yaml").write_text(PRICES)


def dollars(lines):
    (cost,) = (line for line in lines if line.startswith("cost "))
    return [float(found.replace(",", "")) for found in re.findall(r"\$([\d.,]+\d)", cost)]


def test_documents_steps_tokens_and_answers_are_those_of_the_run(check):
    lines = check("documents.0.limit=20", "training.held_out=3", "training.batch_size=8", "sampling.n_samples=5")
    tokenizer = AutoTokenizer.from_pretrained(data_folder() / "models" / "standin")
    documents, *_ = gather(load_experiment("standin", ["documents.0.limit=20"]).documents, 0)
    chats = [[message.model_dump(include={"role", "content"}) for message in one.messages] for one in documents]
    lengths = [len(tokenizer.apply_chat_template(chat)["input_ids"]) for chat in chats]
    trained, held_out = (
        int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", next(x for x in lines if "tokens" in x))
    )
    assert trained % 3 == 0, "three epochs"
    assert trained // 3 + held_out == sum(lengths)
    assert "documents 17 to train on, 3 held out, 0 rejected" in lines
    assert "conditioning factory_farming_neutral: 20 as chats" in lines
    assert "training local, standin, rank 64: 9 steps of 8 documents" in lines
    assert "questions 8 in factory_farming" in lines
    assert "answers 40 of the baseline (once for every fine-tune), 40 of the fine-tuned model" in lines
    assert "judge lexicon 80 counts, offline" in lines
    assert "cost nothing" in lines


def test_every_moment_of_a_training_is_sampled_and_judged_and_the_baseline_once(check):
    lines = check("sampling.n_samples=5", "training.sample_at=[0.25, 0.5]")
    assert "answers 40 of the baseline (once for every fine-tune), 120 of the fine-tuned model" in lines
    assert "judge lexicon 160 counts, offline" in lines


def test_statements_are_counted_and_never_sampled(check):
    lines = check("evals=[factory_farming, farming_statements]", "sampling.n_samples=5")
    assert "questions 8 in factory_farming" in lines
    assert "answers 40 of the baseline (once for every fine-tune), 40 of the fine-tuned model" in lines
    assert "statements 32 in farming_statements: how likely both models find Yes and No" in lines
    assert "judge lexicon 80 counts, offline" in lines
    alone = check("evals=[farming_statements]", "judging.judges=[]")
    assert [line for line in alone if line.startswith(("questions", "answers", "judge"))] == []


def test_statements_cost_what_their_prompts_and_answers_cost_under_every_model(check, monkeypatch):
    monkeypatch.setattr(LocalEngine, "price", lambda self, train=0, prefill=0, sample=0: prefill / 1e4)
    changes = ("evals=[farming_statements]", "judging.judges=[]", "training.sample_at=[0.5]")
    (cost,) = (line for line in check(*changes) if line.startswith("cost "))
    tokenizer = AutoTokenizer.from_pretrained(data_folder() / "models" / "standin")
    tokens = 0
    for question in load_eval("farming_statements").questions:
        turns = [{"role": "user", "content": question.text}]
        prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
        tokens += sum(
            len(prompt) + len(tokenizer(word, add_special_tokens=False)["input_ids"]) for word in ("Yes", "No")
        )
    assert f"statements ${3 * tokens / 1e4:,.2f}" in cost, "the base model, the one halfway and the one at the end"
    assert "sampling" not in cost


def test_statements_are_refused_beside_imported_responses(tmp_path, check):
    (tmp_path / "finetuned.jsonl").write_text('{"tier": "direct", "question": "?", "response": "x"}\n')
    changes = (f"responses={tmp_path}", "documents=[]", "evals=[farming_statements]", "judging.judges=[]")
    with pytest.raises(UserError, match="'farming_statements' asks the models how likely Yes and No are, and imported"):
        check(*changes)


@pytest.mark.parametrize("reads", ["response", "pair"])
@pytest.mark.parametrize(("n", "temperature"), [(4, 1), (1, 0)])
def test_the_calls_are_as_many_as_the_judges_are_asked_where_all_answers_differ(check, reads, n, temperature):
    judge = Judge(name="claude", kind="claude", prompt=RUBRIC, reads=reads)
    write_eval(judge.model_dump())
    lines = check("evals=[animals]", "judging.judges=[]", f"sampling={{n_samples: {n}, temperature: {temperature}}}")
    experiment = load_experiment("standin", ["evals=[animals]", "judging.judges=[]"])

    def answers(side):
        return [
            Response(
                tier="any",
                question=text,
                response=f"{side} {name} {sample}",
                eval="animals",
                question_id=name,
                sample=sample,
                state="complete",
                tokens=3,
                model="m",
                trained_share=float(side == "after"),
            )
            for name, text in QUESTIONS.items()
            for sample in range(n)
        ]

    asks = to_calls(plan(load_evals(experiment), answers("before"), answers("after"), n))
    assert f"judge claude {len(asks)} calls to claude-sonnet-4-6" in lines


def test_the_cost_of_a_judge_is_that_of_its_texts_and_replies_at_todays_prices(check):
    judge = Judge(name="claude", kind="claude", prompt=RUBRIC, max_tokens=200)
    write_eval(judge.model_dump())
    lines = check("evals=[animals]", "judging.judges=[]", "sampling={n_samples: 1000, max_tokens: 300}")
    longest = to_call(judge, QUESTIONS["q2"], "", None)
    told = len(longest.system + longest.user) // 4
    calls = 2 * 2 * 1000
    expected = calls * ((told + 150) * 3 + 80 * 15) / 1e6
    most = calls * ((told + 300) * 3 + 200 * 15) / 1e6
    assert f"judge claude {calls:,} calls to claude-sonnet-4-6" in lines
    assert dollars(lines) == [round(expected, 2), round(most, 2), round(expected, 2)]


def test_a_limit_is_shown_and_an_unknown_price_makes_the_whole_unknown(check):
    write_eval(Judge(name="claude", kind="claude", prompt=RUBRIC).model_dump())
    lines = check("evals=[animals]", "judging.judges=[]", "max_cost_usd=2.5")
    assert any(line.endswith("max_cost_usd stops it at $2.50") for line in lines)
    write_eval(Judge(name="claude", kind="claude", prompt=RUBRIC, model="claude-x").model_dump())
    lines = check("evals=[animals]", "judging.judges=[]")
    assert "cost unknown: judge claude unknown (prices in data/prices.yaml)" in lines


def test_without_its_server_the_tokens_of_a_hosted_training_are_estimated_and_priced_and_what_is_missing_said(
    check, monkeypatch
):
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    (data_folder() / "prices.yaml").write_text(
        PRICES + "tinker: {meta-llama/Llama-3.3-70B-Instruct: {train: 3.0, prefill: 1.0, sample: 2.0}}\n"
    )
    changes = ("documents.0.limit=100", "training.held_out=0", "sampling={n_samples: 10, max_tokens: 300}")
    lines = check(*changes, name="factory_farming_neutral")
    documents, *_ = gather(load_experiment("standin", ["documents.0.limit=100"]).documents, 0)
    tokens = sum(len(message.content) for one in documents for message in one.messages) // 4
    assert any(line.startswith("Before it can run: no Tinker credentials") for line in lines)
    assert any(line.startswith(f"tokens about {tokens:,} in training") for line in lines)
    (cost,) = (line for line in lines if line.startswith("cost "))
    assert f"training ${tokens * 3 / 1e6:,.2f}" in cost
    answers = 2 * 10 * 8
    assert f"sampling ${answers * (50 * 1 + 300 * 2) / 2 / 1e6:,.2f}" in cost


def test_a_model_that_hosted_tinker_retired_is_named_with_its_day_and_its_sister(check, monkeypatch):
    monkeypatch.delenv("TINKER_API_KEY", raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    (problem,) = (
        line for line in check(name="factory_farming_neutral") if line.startswith("Before it can run: no Tin")
    )
    assert "hosted Tinker retired meta-llama/Llama-3.3-70B-Instruct on 2026-06-12; run its sister " in problem
    assert not any("hosted Tinker retired" in line for line in check(name="factory_farming_neutral_qwen3_8_27b"))


def test_a_judge_whose_model_is_announced_to_end_is_told_by_the_file_without_a_key_and_by_its_service(check):
    asked = {"name": "aligned", "kind": "chat", "prompt": RUBRIC}
    write_eval(Judge(model="gpt-4o", **asked).model_dump())
    assert "It can run, but the judge 'aligned' asks gpt-4o, which end" in "\n".join(
        check("evals=[animals]", "judging.judges=[aligned]")
    )
    with ChatAPI(None, ends="2099-01-14") as api:
        write_eval(Judge(model="m", base_url=f"{api.url}/v1", **asked).model_dump())
        assert "the judge 'aligned' asks m, which ends on 2099-01-14: compare" in "\n".join(
            check("evals=[animals]", "judging.judges=[aligned]")
        )
