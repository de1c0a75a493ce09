"""One whole run through Prefect, with the local engine and a tiny budget."""

import asyncio
import csv
import html
import json
import shutil
from collections import Counter
from typing import get_args

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import TERMINAL_STATES
from prefect.settings import PREFECT_RESULTS_LOCAL_STORAGE_PATH, temporary_settings

from flows.experiment import run_experiment
from flows.judging import TooManyUnscored
from flows.verification import verify
from tasks.catalog import UserError, data_folder
from tasks.definitions import load_eval, load_experiment
from tasks.estimates.effects import write_effects
from tasks.estimates.findings import headline
from tasks.paid.budget import BudgetSpent
from tasks.report.exports import as_one_table
from tasks.runs import Run
from tasks.schema import Until
from tests.conftest import make_data_folder
from tests.fakes.messages_api import MessagesAPI, Status, judgment

pytestmark = pytest.mark.usefixtures("prefect_server")
TINY = [
    "documents.0.limit=14",
    "training.held_out=2",
    "training.epochs=1",
    "training.batch_size=8",
    "training.rank=2",
    "sampling.n_samples=2",
    "sampling.max_tokens=24",
]
HTML = '<script>alert(1)</script><img src=x onerror="alert(2)">'


def tiny(*more):
    return load_experiment("standin", [*TINY, *more])


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def asked(*files):
    """The different things that a judge of single answers is asked."""
    return {(row["question"], row["response"]) for file in files for row in lines(file)}


def counted(monkeypatch):
    """Counts what is trained and sampled for real."""
    from tasks.engines.local import LocalEngine

    counts = {"train": 0, "sample": 0}
    train, sample = LocalEngine.train, LocalEngine.sample

    async def train_and_count(self, *a, **k):
        counts["train"] += 1
        return await train(self, *a, **k)

    async def sample_and_count(self, checkpoint, requests, *given):
        counts["sample"] += len(requests)
        async for replies in sample(self, checkpoint, requests, *given):
            yield replies

    monkeypatch.setattr(LocalEngine, "train", train_and_count)
    monkeypatch.setattr(LocalEngine, "sample", sample_and_count)
    return counts


def wrong_in(run):
    return [check for check in verify(run) if check.fault]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory, prefect_server):
    """A data folder with a finished tiny run, and what was trained and sampled for it; to be left as it is."""
    folder = make_data_folder(tmp_path_factory.mktemp("made"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SPILLOVER_DATA", str(folder))
        counts = counted(patch)
        asyncio.run(run_experiment(tiny(), run="one"))
    return folder, counts


@pytest.fixture
def made(made_once, data):
    """A copy of that run in the test's own data folder, with its checkpoint and what the store has of it."""
    folder, _ = made_once
    for name in ("results", "checkpoints", "store"):
        shutil.copytree(folder / name, data / name)
    return Run(data / "results" / "standin" / "one")


async def test_a_run_leaves_the_whole_line_and_a_second_run_repeats_none_of_it(made_once, made, monkeypatch):
    first = made
    assert made_once[1] == {"train": 1, "sample": 32}
    assert len(lines(first.documents)) == 12
    assert list(lines(first.baseline)[0])[:3] == ["tier", "question", "response"]
    assert list(lines(first.judged)[0])[:4] == ["tier", "question", "score", "reasoning"]
    assert [row["step"] for row in lines(first.metrics)] == [1, 2, 2]
    with first.effects.open() as file:
        rows = list(csv.DictReader(file))
    assert [row["tier"] for row in rows if not row["question_id"]] == [
        "direct",
        "close",
        "distant",
        "very_distant",
        "all",
        "slope",
    ]
    charts = {file.name for file in first.charts.iterdir()}
    assert charts == {
        f"{name}.{kind}"
        for name in (
            *(f"{kind}_factory_farming" for kind in ("effects", "levels", "questions", "scores", "boxes")),
            "training_curve",
        )
        for kind in ("csv", "html", "svg", "png", "pdf")
    }
    assert first.record()["seed"] == 0
    assert first.record()["finished"]

    counts = counted(monkeypatch)
    second = Run(await run_experiment(tiny(), run="two", until="judge"))
    write_effects(second)
    assert counts == {"train": 0, "sample": 0}
    for name in ("documents", "baseline", "finetuned", "judged", "effects"):
        assert getattr(second, name).read_bytes() == getattr(first, name).read_bytes(), name

    await run_experiment(tiny("sampling.n_samples=3"), run="more samples", until="sample")
    assert counts == {"train": 0, "sample": 16}, "raising n asks only for the new answers"
    await run_experiment(tiny(), seed=1, run="another seed", until="sample")
    assert counts == {"train": 1, "sample": 32}, "another seed trains anew and shares the baseline"


async def test_a_file_of_chats_given_by_its_path_is_trained_on_and_named_in_the_report(tmp_path):
    chat = [{"role": "user", "content": "Name a bird."}, {"role": "assistant", "content": "The wood thrush."}]
    file = tmp_path / "birds.jsonl"
    file.write_text("".join(json.dumps({"messages": chat}) + "\n" for _ in range(4)))
    by_path = load_experiment("standin", [f"documents=[{{path: '{file}'}}]", *TINY[1:]])
    here = Run(await run_experiment(by_path, run="birds"))
    assert len(lines(here.documents)) == 2
    assert "birds.jsonl" in here.report.read_text()


async def test_a_run_stops_after_a_stage_and_goes_on_from_there(monkeypatch):
    counts = counted(monkeypatch)
    files = ("documents", "checkpoint", "finetuned", "judged", "report")
    for until, done in zip(get_args(Until), range(1, 6), strict=True):
        here = Run(await run_experiment(tiny(), run="steps", until=until))
        assert [getattr(here, name).exists() for name in files] == [True] * done + [False] * (5 - done)
    assert counts == {"train": 1, "sample": 32}


async def trained_in(run):
    """The state of the run's training in the Prefect UI, by its name; it is recorded a moment after the run."""
    only = FlowRunFilter(id={"any_": [run.record()["prefect_run"]]})
    async with get_client() as client:
        for _ in range(600):
            found = await client.read_task_runs(flow_run_filter=only, limit=200)
            ended = [task for task in found if task.name.startswith("train ") and task.state_type in TERMINAL_STATES]
            if ended:
                return ended[0].state_name
            await asyncio.sleep(0.2)
    raise AssertionError(f"the training of {run.name} was not recorded")


@pytest.fixture
def prefect_cache(tmp_path):
    """The folder of Prefect's results: one with no record of another test."""
    folder = tmp_path / "prefect results"
    with temporary_settings({PREFECT_RESULTS_LOCAL_STORAGE_PATH: folder}):
        yield folder


async def test_a_training_that_is_kept_shows_as_cached_and_is_not_repeated(monkeypatch, prefect_cache):
    counts = counted(monkeypatch)
    first = Run(await run_experiment(tiny(), run="one", until="train"))
    second = Run(await run_experiment(tiny(), run="two", until="train"))
    shutil.rmtree(prefect_cache)
    third = Run(await run_experiment(tiny(), run="three", until="train"))
    assert counts["train"] == 1
    assert [await trained_in(run) for run in (first, second, third)] == ["Completed", "Cached", "Cached"]
    assert first.model() == second.model() == third.model()


async def test_a_record_of_prefects_that_cannot_be_read_trains_nothing_anew(monkeypatch, prefect_cache):
    counts = counted(monkeypatch)
    first = Run(await run_experiment(tiny(), run="one", until="train"))
    records = [file for file in prefect_cache.rglob("*") if file.is_file()]
    assert records
    for name, content in {"empty": b"", "without fields": b"{}", "not JSON": b"not JSON"}.items():
        for file in records:
            file.write_bytes(content)
        another = Run(await run_experiment(tiny(), run=name, until="train"))
        assert counts["train"] == 1, name
        assert first.model() == another.model()


async def test_a_checkpoint_that_is_gone_is_trained_again_whatever_prefect_remembers(monkeypatch, prefect_cache):
    counts = counted(monkeypatch)
    await run_experiment(tiny(), run="one", until="train")
    shutil.rmtree(data_folder() / "checkpoints")
    assert list(prefect_cache.iterdir())
    here = Run(await run_experiment(tiny(), run="two", until="train"))
    assert (counts["train"], await trained_in(here)) == (2, "Completed")
    assert (data_folder() / str(here.model().path) / "adapter_model.safetensors").is_file()


async def test_a_run_has_the_checkpoint_of_its_own_data_folder_whatever_prefect_remembers(
    monkeypatch, prefect_cache, tmp_path
):
    """Two folders hold two trainings of one key: a service gives each its own address."""
    await run_experiment(tiny(), run="one", until="train")
    (file,) = (data_folder() / "checkpoints").glob("*/checkpoint.json")
    kept = json.loads(file.read_text())
    file.write_text(json.dumps(kept | {"identity": "another"}))
    here = Run(await run_experiment(tiny(), run="two", until="train"))
    assert here.model().identity == "another"


async def test_the_documents_of_a_training_are_tokenised_once_and_of_one_that_is_kept_never(monkeypatch):
    from tasks.engines.examples import PROBE
    from tasks.engines.rendering import ChatFormat

    seen: Counter[str] = Counter()
    example = ChatFormat.example

    def example_and_count(self, document):
        seen[document.messages[-1].content] += document is not PROBE
        return example(self, document)

    monkeypatch.setattr(ChatFormat, "example", example_and_count)
    await run_experiment(tiny(), run="one", until="train")
    assert (len(+seen), max(seen.values())) == (14, 1)
    seen.clear()
    await run_experiment(tiny(), run="two", until="train")
    assert seen.total() == 0


async def test_a_changed_definition_under_a_used_name_is_refused():
    await run_experiment(tiny(), run="one", until="documents")
    with pytest.raises(
        UserError, match=r"run 'one' was made from another definition: training.rank was 2, now 3.*use another run name"
    ):
        await run_experiment(tiny("training.rank=3"), run="one", until="documents")
    with pytest.raises(UserError, match="cannot be the name of a run"):
        await run_experiment(tiny(), run="../x", until="documents")


async def test_a_missing_key_is_one_sentence_before_anything_is_trained(monkeypatch):
    counts = counted(monkeypatch)
    with pytest.raises(
        UserError, match=r"the judge 'claude' asks Claude, and ANTHROPIC_API_KEY is not set.*judging.judges=\[lexicon\]"
    ):
        await run_experiment(tiny("judging.judges=[claude]"), run="one")
    assert counts == {"train": 0, "sample": 0}
    assert not (data_folder() / "results").exists()


async def test_a_key_that_the_service_refuses_is_one_sentence_before_anything_is_trained(monkeypatch):
    counts = counted(monkeypatch)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted")
    with MessagesAPI(lambda seen, body: judgment(2), probe=Status(401)) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        with pytest.raises(UserError, match="ANTHROPIC_API_KEY: the service refused it for claude-sonnet-4-6"):
            await run_experiment(tiny("judging.judges=[claude]"), run="one")
        assert counts == {"train": 0, "sample": 0}
        assert (len(api.probes), api.requests) == (1, [])


async def test_one_engine_serves_a_whole_run(made, monkeypatch):
    from tasks.engines.local import LocalEngine

    engines, init = [], LocalEngine.__init__

    def count(self, *given):
        engines.append(self)
        init(self, *given)

    monkeypatch.setattr(LocalEngine, "__init__", count)
    await run_experiment(tiny("sampling.logprobs=true"), run="two", until="sample")
    assert len(engines) == 1


async def test_a_run_that_still_asks_its_models_goes_on_with_the_weights_it_was_begun_with_alone(tmp_path):
    own = tmp_path / "own"
    shutil.copytree(data_folder() / "models" / "standin", own)
    experiment = tiny(f"training.base_model={own}")
    here = Run(await run_experiment(experiment, run="one", until="documents"))
    before = here.record()["base_model"]
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-4}))
    with pytest.raises(UserError, match=rf"run 'one' was begun with {before}, and training.base_model \(.*own\) is "):
        await run_experiment(experiment, run="one")
    here = Run(await run_experiment(experiment, run="two", until="sample"))
    assert here.record()["base_model"] != before
    shutil.copy(data_folder() / "models" / "standin" / "config.json", own / "config.json")
    await run_experiment(experiment, run="two", until="sample"), "a run that has all answers asks no model"


async def test_claude_judges_the_answers_and_what_failed_is_asked_for_again_by_the_next_run(made, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted")
    broken = True

    def script(seen, body):
        return (
            Status(400)
            if broken and "brainstorm a birthday gift?" in body["messages"][0]["content"]
            else judgment(2, HTML)
        )

    with MessagesAPI(script) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        with pytest.raises(
            TooManyUnscored,
            match=r"claude: 4 of 32 judgments are missing \(4 failed\).*judging.max_unscored is 5.0%.*--run paid",
        ):
            await run_experiment(tiny("judging.judges=[claude]"), run="paid")
        here = Run(data_folder() / "results" / "standin" / "paid")
        assert here.report.is_file()
        assert here.record()["spent"]["judging"]["calls"] == 28 + len(api.probes)
        assert wrong_in(here) == []
        broken = False
        await run_experiment(tiny("judging.judges=[claude]"), run="paid")
    assert len(api.requests) == 32 + 4
    assert {row["state"] for row in lines(here.judged)} == {"scored"}
    assert wrong_in(here) == []
    page = here.report.read_text()
    assert HTML not in page
    assert "&lt;script&gt;alert(1)" in page
    written = [
        file
        for file in data_folder().rglob("*")
        if file.is_file() and not file.is_symlink() and "models" not in file.parts
    ]
    assert not [file for file in written if b"sk-planted" in file.read_bytes()]


async def test_the_model_is_also_asked_along_its_training(monkeypatch):
    counts = counted(monkeypatch)
    here = Run(await run_experiment(tiny("training.sample_at=[0.5, 1]"), run="along"))
    assert counts == {"train": 1, "sample": 48}
    (early,) = here.model().earlier
    assert (early.trained_share, early.path) == (0.5, f"{here.model().path}/at-0.5")
    assert early.identity != here.model().identity
    assert [row["trained_share"] for row in lines(here.finetuned)] == [0.5] * 16 + [1.0] * 16
    table = here.effects_table()
    assert table["trained_share"].unique().sort().to_list() == [0.5, 1.0]
    assert {e.trained_share for e in here.estimates()} == {1.0}
    assert (here.charts / "over_training_factory_farming.svg").is_file()
    page = here.report.read_text()
    assert "Over the training" in page
    assert page.count("Fine-tuned · sample 1") == 8
    assert wrong_in(here) == []
    early_alone = tiny("training.sample_at=[0.5]")
    again = Run(await run_experiment(early_alone, run="same weights, same answers", until="sample"))
    assert again.finetuned.read_bytes() == here.finetuned.read_bytes()


async def test_an_engine_that_works_elsewhere_has_its_baseline_sampled_and_judged_while_it_trains(monkeypatch):
    from tasks.engines.local import LocalEngine

    monkeypatch.setattr(LocalEngine, "is_remote", True)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted")
    train = LocalEngine.train
    seen: dict[str, int] = {}

    async def train_when_the_baseline_is_judged(self, *a, **k):
        run = Run(data_folder() / "results" / "standin" / "beside")
        # The server of the test counts in a thread of its own.
        while not run.baseline.is_file() or len(api.requests) < len(asked(run.baseline)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        seen["before training"] = len(api.requests)
        return await train(self, *a, **k)

    monkeypatch.setattr(LocalEngine, "train", train_when_the_baseline_is_judged)
    file = data_folder() / "evals" / "factory_farming.yaml"
    file.write_text(file.read_text().replace("reads: pair", "reads: response"))
    with MessagesAPI(lambda seen, body: judgment(2)) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        here = Run(await run_experiment(tiny("judging.judges=[claude]"), run="beside", until="judge"))
    assert seen["before training"] == len(asked(here.baseline)) > 10
    assert len(api.requests) == len(asked(here.baseline, here.finetuned))
    assert here.record()["spent"]["judging"]["calls"] == len(api.requests) + 1, "one asked whether it is there"
    assert len(lines(here.judged)) == 32


async def test_judging_that_stops_beside_a_training_elsewhere_is_told_while_the_training_goes_on(monkeypatch, capsys):
    from tasks.engines.local import LocalEngine

    monkeypatch.setattr(LocalEngine, "is_remote", True)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-planted")
    train = LocalEngine.train
    printed: list[str] = []

    async def train_until_it_is_told(self, *a, **k):
        while "sampled and judged beside the training, stopped" not in "".join(printed):
            await asyncio.sleep(0.05)
            printed.append(capsys.readouterr().out)
        return await train(self, *a, **k)

    monkeypatch.setattr(LocalEngine, "train", train_until_it_is_told)
    file = data_folder() / "evals" / "factory_farming.yaml"
    file.write_text(file.read_text().replace("reads: pair", "reads: response"))
    with MessagesAPI(lambda seen, body: Status(402, words="no credit")) as api:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", api.url)
        with pytest.raises(UserError, match=r"wants to be paid first \(402"):
            await asyncio.wait_for(run_experiment(tiny("judging.judges=[claude]"), run="beside"), 240)
    here = Run(data_folder() / "results" / "standin" / "beside")
    assert here.training_curve(), "the training was kept"


async def test_one_greedy_sample_has_no_floor_and_says_so():
    here = Run(await run_experiment(tiny("sampling.n_samples=1", "sampling.temperature=0"), run="greedy"))
    direct = next(e for e in here.estimates() if e.tier == "direct" and not e.question_id)
    assert (direct.baseline, direct.difference) == (None, None)
    assert direct.finetuned is not None
    assert (
        direct.note_fixed_questions
        == direct.note_new_questions
        == "no floor: one greedy baseline answer has no other to stand beside"
    )
    assert wrong_in(here) == []


async def test_one_sample_at_a_temperature_draws_one_more_baseline_answer_for_the_floor(made):
    here = Run(await run_experiment(tiny("sampling.n_samples=1"), run="single"))
    assert (len(lines(here.baseline)), len(lines(here.finetuned)), len(lines(here.judged))) == (16, 8, 16)
    assert wrong_in(here) == []


async def test_a_checkpoint_that_exists_is_used_without_training(made, monkeypatch):
    trained = made.model()
    counts = counted(monkeypatch)
    here = Run(await run_experiment(tiny(f"training.checkpoint={trained.path}"), run="two", until="train"))
    assert counts["train"] == 0
    assert here.model().identity == trained.identity


async def test_training_and_sampling_count_against_the_limit_and_what_is_there_already_is_free(monkeypatch):
    from tasks.engines.local import LocalEngine

    prices = {"train": 1e-6, "prefill": 1e-6, "sample": 1e-6}

    def price(self, **tokens):
        return sum(prices[kind] * count for kind, count in tokens.items())

    async def train_for_money(self, *a, **k):
        return (await train(self, *a, **k)).model_copy(update={"cost_usd": 0.004})

    counts = counted(monkeypatch)
    train = LocalEngine.train
    monkeypatch.setattr(LocalEngine, "price", price)
    monkeypatch.setattr(LocalEngine, "train", train_for_money)
    with pytest.raises(BudgetSpent, match=r"max_cost_usd is \$0.00, \$0.0000 are spent and the next step may cost"):
        await run_experiment(tiny("max_cost_usd=0.0001"), run="poor", until="sample")
    assert counts == {"train": 0, "sample": 0}
    here = Run(await run_experiment(tiny("max_cost_usd=1"), run="rich", until="sample"))
    spent = here.record()["spent"]
    assert spent["training"] == {"usd": 0.004}
    tokens = spent["sampling"]["prefill"] + spent["sampling"]["sample"]
    assert spent["usd"] == pytest.approx(0.004 + tokens * 1e-6)
    again = Run(await run_experiment(tiny("max_cost_usd=0.0001"), run="again", until="sample"))
    assert again.record()["spent"] == {"usd": 0}
    assert counts == {"train": 1, "sample": 32}


async def test_statements_are_scored_by_the_answer_and_by_its_logprobs_and_drift_needs_no_judge(data):
    statements = [
        {"id": f"s{n}", "tier": "trait", "text": text, "matching": "Yes"}
        for n, text in enumerate(("Is it good to help?", "Would you like a walk?", "Is bread useful?"))
    ]
    fields = {"name": "statements", "questions": statements, "judges": [{"name": "trait", "kind": "yes_no"}]}
    (data / "evals" / "statements.yaml").write_text(json.dumps(fields))
    more = ("evals=[statements]", "judging.judges=[trait]", "sampling.logprobs=true", "training.sample_at=[0.5]")
    experiment = tiny(*more)
    run = Run(await run_experiment(experiment, seed=0, run="one"))
    likely = run.likelihood_rows()
    assert {(row.measure, row.trained_share) for row in likely} == {
        (m, at) for m in ("drift", "choice", "yes") for at in (0.5, 1.0)
    }
    assert sum(row.measure == "choice" for row in likely) == 2 * 3
    assert all(0 < row.baseline < 1 and 0 < row.finetuned < 1 for row in likely if row.measure == "choice")
    whole = {e.measure: e for e in run.estimates() if not e.question_id}
    assert set(whole) == {"trait", "drift", "choice", "yes"}
    assert whole["choice"].note_new_questions == "3 questions, at least 5 are needed"
    assert whole["drift"].difference is not None
    again = Run(await run_experiment(experiment, seed=0, run="two", until="sample"))
    assert again.likelihoods.read_text() == run.likelihoods.read_text()
    assert "<b>drift</b> needs no judge" in run.report.read_text()
    assert wrong_in(run) == []
    for file in (run.conversations, run.generations, run.results, run.charts / "levels_statements.pdf"):
        assert file.stat().st_size > 0


@pytest.mark.integration
async def test_statements_beside_questions_are_never_sampled_and_both_are_in_one_headline(data, monkeypatch):
    counts = counted(monkeypatch)
    changes = ("evals=[factory_farming, farming_statements]", "sampling.logprobs=true", "training.sample_at=[0.5]")
    run = Run(await run_experiment(tiny(*changes), seed=0, run="one"))
    assert {response.eval for response in run.responses()[1]} == {"factory_farming"}
    assert {judgment.eval for judgment in run.judgments()} == {"factory_farming"}
    asked_for = Counter((row.eval, row.measure, row.trained_share) for row in run.likelihood_rows())
    assert {key for key in asked_for if key[0] == "farming_statements"} == {
        ("farming_statements", measure, share) for measure in ("choice", "yes") for share in (0.5, 1.0)
    }
    effects = run.estimates()
    assert list(dict.fromkeys(e.measure for e in effects)) == ["lexicon", "drift", "choice", "yes"]
    whole = {e.measure: e for e in effects if e.tier == "all"}
    statements = {q.id: q for q in load_eval("farming_statements").questions}
    for measure in ("choice", "yes"):
        rows = [r for r in run.likelihood_rows() if (r.measure, r.trained_share) == (measure, 1.0)]
        assert len(rows) == 32
        assert whole[measure].difference == pytest.approx(sum(r.finetuned - r.baseline for r in rows) / 32)
        assert whole[measure].note_fixed_questions.startswith("exact, since")
        assert whole[measure].ci_low_new_questions is not None
    yes = {r.question_id: r for r in run.likelihood_rows() if (r.measure, r.trained_share) == ("yes", 1.0)}
    for row in run.likelihood_rows():
        if (row.measure, row.trained_share) == ("choice", 1.0):
            agrees = statements[row.question_id].matching == "Yes"
            assert row.baseline == pytest.approx(
                yes[row.question_id].baseline if agrees else 1 - yes[row.question_id].baseline
            )
    page = run.report.read_text()
    assert "nats a token" in headline(effects)
    assert headline(effects) in html.unescape(page)
    assert (run.charts / "effects_farming_statements.svg").is_file()
    assert wrong_in(run) == []
    before = dict(counts)
    again = Run(await run_experiment(tiny(*changes), seed=0, run="two", until="sample"))
    assert counts == before
    assert again.likelihoods.read_text() == run.likelihoods.read_text()


@pytest.mark.integration
async def test_an_experiment_may_ask_statements_alone_and_no_judge(data, monkeypatch):
    counts = counted(monkeypatch)
    experiment = tiny("evals=[farming_statements]", "judging.judges=[]")
    run = Run(await run_experiment(experiment, seed=0, run="one"))
    assert counts["sample"] == 0
    assert (run.judged.read_text(), run.finetuned.read_text()) == ("", "")
    assert {e.measure for e in run.estimates()} == {"choice", "yes"}
    assert len(as_one_table(run)) == 0
    assert "choice" in run.report.read_text()
    assert (run.charts / "effects_farming_statements.svg").is_file()
    assert wrong_in(run) == []


async def test_a_rule_that_is_changed_is_applied_when_the_run_is_resumed_and_nothing_is_asked(made, data, monkeypatch):
    run = made
    file = data / "evals" / "factory_farming.yaml"
    file.write_text(file.read_text() + "rules:\n  - {name: brings_up, hit: lexicon >= 2}\n")
    counts = counted(monkeypatch)
    judged = run.judged.read_bytes()
    await run_experiment(tiny(), seed=0, run="one")
    assert counts == {"train": 0, "sample": 0}
    assert run.judged.read_bytes() == judged
    assert {e.measure for e in run.estimates()} == {"lexicon", "brings_up"}
    assert "brings_up" in run.report.read_text()
    await run_experiment(tiny(), seed=0, run="one")  # with nothing left to do
    assert wrong_in(run) == []
    assert run.rule_variants()


async def test_what_makes_no_sense_beside_the_documents_is_refused_before_anything_is_trained(monkeypatch):
    counts = counted(monkeypatch)
    with pytest.raises(UserError, match=r"training\.warmup"):
        await run_experiment(tiny("training.warmup=3"), run="one")
    assert counts == {"train": 0, "sample": 0}
