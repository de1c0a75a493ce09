"""The flows that judge, through Prefect, on answers that are there: a fake service, no engine."""

import asyncio
import json
import shutil

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter

from flows.experiment import run_experiment
from flows.judge_again import judge_again
from flows.judging import TooManyUnscored, refuse_too_many_unscored
from flows.verification import verify
from tasks.catalog import UserError, data_folder
from tasks.paid.budget import BudgetSpent
from tasks.runs import Run
from tasks.schema import Experiment
from tasks.services.service import ServiceDown
from tests.conftest import make_data_folder
from tests.fakes.imported import CLAUDE, write_answers, write_eval
from tests.fakes.messages_api import MessagesAPI, Say, Status, judgment

pytestmark = pytest.mark.usefixtures("prefect_server")
KEY = "sk-planted"


@pytest.fixture
def api(monkeypatch):
    """A service whose script can be changed between runs."""

    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    with MessagesAPI(lambda seen, body: judgment(3)) as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        yield running


@pytest.fixture
def answers(data, tmp_path):
    write_eval(data)
    return write_answers(tmp_path / "them")


@pytest.fixture(scope="module")
def judged_once(tmp_path_factory, prefect_server):
    """A data folder with the reported run them/one, of whose answers each has a 3; to be left as it is."""
    place = tmp_path_factory.mktemp("judged")
    folder = make_data_folder(place)
    write_eval(folder)
    with pytest.MonkeyPatch.context() as patch, MessagesAPI(lambda seen, body: judgment(3)) as running:
        patch.setenv("SPILLOVER_DATA", str(folder))
        patch.setenv("ANTHROPIC_API_KEY", KEY)
        patch.setenv("ANTHROPIC_BASE_URL", running.url)
        asyncio.run(run_experiment(experiment(write_answers(place / "them")), run="one"))
    return folder


@pytest.fixture
def parent(judged_once, data):
    """A copy of that run in the test's own data folder, with all that the store has of it."""
    for name in ("evals", "results", "store"):
        shutil.copytree(judged_once / name, data / name, dirs_exist_ok=True)
    return run_of("one")


def experiment(answers, **fields):
    return Experiment(name="them", responses=str(answers), evals=["animals"], **fields)


def run_of(name):
    return Run(data_folder() / "results" / "them" / name)


def asked(api, words):
    return [body for body in api.requests if words in body["messages"][0]["content"]]


async def artifacts_of(run):
    async with get_client() as client:
        return await client.read_artifacts(flow_run_filter=FlowRunFilter(id={"any_": [run.record()["prefect_run"]]}))


async def pages_of_calls(run, count):
    """The states of so many pages of judge calls, by name; the server records them a while after the run."""
    only = FlowRunFilter(id={"any_": [run.record()["prefect_run"]]})
    async with get_client() as client:
        for _ in range(400):
            tasks = await client.read_task_runs(flow_run_filter=only, limit=200)
            pages = {task.name: task.state_name for task in tasks if task.name.startswith("judge call ")}
            if list(pages.values()).count("Failed") >= count:
                break
            await asyncio.sleep(0.3)
    return pages


async def test_imported_responses_are_judged_and_reported_without_an_engine(api, answers):
    here = Run(await run_experiment(experiment(answers), run="one"))
    assert len(api.requests) == 40
    assert [j.state for j in here.judgments()] == ["scored"] * 40
    assert {e.tier for e in here.estimates()} == {"near", "far", "all"}
    page = here.report.read_text()
    assert "Nothing was trained or sampled here" in page
    assert "stand-in" not in page
    (answers / "finetuned.jsonl").unlink()
    (answers / "baseline.jsonl").unlink()
    await run_experiment(experiment(answers), run="one")
    assert len(api.requests) == 40, "a run holds its answers itself"
    with pytest.raises(UserError, match=r"no finetuned\.jsonl"):
        await run_experiment(experiment(answers), run="two")


async def test_two_runs_at_once_pay_for_each_answer_once(api, data, answers):
    write_eval(data, judges=[CLAUDE, {**CLAUDE, "name": "beside", "reads": "pair"}])
    api.seconds = 0.05
    few = {"in_flight": 4}
    both = experiment(answers, judging=few)
    runs = [run_experiment(both, seed=n, run=f"seed-{n}", until="judge") for n in range(2)]
    one, two = map(Run, await asyncio.gather(*runs))
    assert len(api.requests) == 80
    assert one.judged.read_bytes() == two.judged.read_bytes()


async def test_the_same_words_of_two_fine_tunes_are_paid_once_by_runs_that_judge_them_at_once(api, data, tmp_path):
    write_eval(data)
    api.seconds = 2.0
    places = [write_answers(tmp_path / str(number), samples=1) for number in range(2)]
    for number, place in enumerate(places):
        rows = [json.loads(line) for line in (place / "finetuned.jsonl").read_text().splitlines()]
        rows[0]["response"] = f"only {number}"
        (place / "finetuned.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    both = [experiment(place).model_copy(update={"name": place.name}) for place in places]
    await asyncio.gather(*(run_experiment(each, run="one", until="judge") for each in both))
    asked = [body["messages"][0]["content"] for body in api.requests]
    assert len(asked) == len(set(asked)) == 4 + 3 + 2


async def test_fine_tuned_answers_alone_are_scored_and_compared_with_nothing(api, data, tmp_path):
    write_eval(data)
    file = tmp_path / "model_generations.csv"
    file.write_text("id,question,response\n" + "".join(f"{n},What of {n % 4}?,Answer {n}\n" for n in range(8)))
    here = Run(await run_experiment(experiment(file), run="one"))
    assert [j.state for j in here.judgments()] == ["scored"] * 8
    (every,) = (e for e in here.estimates() if e.tier == "all")
    assert (every.difference, every.note_fixed_questions) == (None, "no baseline")
    assert every.finetuned == sum(j.score or 0 for j in here.judgments()) / 8
    assert here.report.is_file()
    write_eval(data, judges=[{**CLAUDE, "reads": "pair"}])
    with pytest.raises(UserError, match=r"the judge 'claude' compares with the baseline, and .* has none"):
        await run_experiment(experiment(file), run="two")


async def test_another_model_makes_a_run_of_its_own_that_names_its_parent_and_samples_nothing(api, parent):
    before = {file.name: file.read_bytes() for file in parent.folder.glob("*.*")}
    api.script = lambda seen, body: judgment(5)
    here = Run(await judge_again("them/one", model="claude-x", name="by x"))
    assert here.record()["parent"] == "them/one"
    assert len(api.requests) == 40
    assert {body["model"] for body in api.requests} == {"claude-x"}
    assert {j.score for j in here.judgments()} == {5}
    assert here.finetuned.read_bytes() == parent.finetuned.read_bytes()
    assert {file.name: file.read_bytes() for file in parent.folder.glob("*.*")} == before
    assert yaml.safe_load((here.evals_folder / "animals.yaml").read_text())["judges"][0]["model"] == "claude-x"
    assert "judged before in run them/one" in here.report.read_text()
    assert [check for check in verify(here) if check.fault] == []
    await judge_again("them/one", model="claude-x", name="by x again")
    assert len(api.requests) == 40, "what was judged once is never asked for again"


async def test_a_retry_of_a_run_that_was_named_by_its_experiment_goes_on_with_the_same_parent(api, parent):
    api.script = lambda seen, body: Say("no number")
    with pytest.raises(TooManyUnscored):
        await judge_again("them", model="claude-x", name="derived")
    api.script = lambda seen, body: judgment(5)
    here = Run(await judge_again("them", model="claude-x", name="derived"))
    assert here.record()["parent"] == "them/one"
    assert {j.state for j in here.judgments()} == {"scored"}


async def test_a_run_without_answers_is_told_how_to_get_them(api, answers):
    Run.open(experiment(answers), [], "bare")
    with pytest.raises(UserError, match="has no answers yet; finish it with `spillover run"):
        await judge_again("them/bare", failed=True)


async def test_another_rubric_or_a_judge_that_the_eval_got_since_judges_anew(api, parent, data):
    await judge_again("them/one", prompt="Say how far it speaks of plants.", name="plants")
    assert "plants" in api.requests[-1]["system"][0]["text"]
    yes_no = {"name": "asks", "kind": "claude", "prompt": "Does it ask?", "labels": {"yes": 1, "no": 0}}
    write_eval(data, judges=[CLAUDE, yes_no])
    api.script = lambda seen, body: Say('{"reasoning": "r", "label": "yes"}')
    here = Run(await judge_again("them/one", judges=["asks"], name="asks"))
    assert {(j.judge, j.label, j.score) for j in here.judgments()} == {("asks", "yes", 1)}
    assert here.experiment().judging.judges == ["asks"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {},
            "these judges have judged 'one' already, and what a model said is kept wherever it was asked; name others",
        ),
        ({"base_url": "http://127.0.0.1:9"}, "these judges have judged 'one' already"),
        ({"judges": ["who"]}, "--judges: animals has no judge 'who'; there is claude"),
        ({"model": "claude-x", "name": "one"}, "has these judgments already; give the new one another name"),
        ({"run": "them/none", "model": "x"}, "no run at 'them/none'"),
    ],
)
async def test_what_cannot_be_judged_again_is_told_in_a_sentence(api, parent, given, words):
    with pytest.raises(UserError) as mistake:
        await judge_again(**{"run": "them/one", **given})
    assert words in str(mistake.value)


async def test_what_failed_for_good_has_a_page_of_its_own_and_only_that_is_asked_again(api, answers):
    def bad_day(seen, body):
        words = body["messages"][0]["content"]
        if "finetuned says 0 of 1" in words:
            return Status(400)
        if "baseline says 1" in words:
            return Say("no number")
        return Say('{"score": 1}', "refusal") if "baseline says 2 of 2" in words else judgment(2)

    api.script = bad_day
    with pytest.raises(TooManyUnscored, match=r"claude: 5 of 40 judgments are missing .*spillover failures .*--run "):
        await run_experiment(experiment(answers), run="one")
    here = run_of("one")
    assert here.effects.is_file()
    assert here.report.is_file()
    failed = here.failed_calls()
    assert [(f.state, f.side, f.question_id, f.sample) for f in failed] == [
        ("unreadable", "baseline", "q0", 1),
        ("failed", "finetuned", "q1", 0),
        ("unreadable", "baseline", "q1", 1),
        ("unreadable", "baseline", "q2", 1),
        ("unreadable", "baseline", "q3", 1),
    ]
    assert failed[0].attempts == ["no number", "no number"]
    assert "BadRequestError" in failed[1].attempts[0]
    pages = await pages_of_calls(here, len(failed))
    assert pages == {f"judge call {n}: {f.state}": "Failed" for n, f in enumerate(failed, 1)}
    (table,) = (
        a for a in await artifacts_of(here) if (a.description or "").startswith("Judge calls without a score: 5")
    )
    rows = json.loads(table.data)
    assert [row["state"] for row in rows] == [f.state for f in failed]
    assert rows[0]["response"] == "baseline says 1 of 0"

    count = len(api.requests)
    api.script = lambda seen, body: judgment(4)
    await run_experiment(experiment(answers), run="one", until="judge")
    assert len(api.requests) == count + 5
    assert len(asked(api, "baseline says 2 of 2")) == 1, "a refusal is a result"
    assert here.failed_calls() == []
    assert [j.score for j in here.judgments() if j.state == "scored"].count(4) == 5

    await judge_again("them/one", failed=True)
    assert len(api.requests) == count + 6, "what has no score was the refusal alone"
    assert {j.state for j in here.judgments()} == {"scored"}
    assert {e.unscored_baseline for e in here.estimates()} == {0}


async def test_a_run_within_what_is_allowed_asks_for_nothing_again_by_itself(api, answers):
    api.script = lambda seen, body: Say("none") if "says 0 of 0" in body["messages"][0]["content"] else judgment(2)
    allowed = experiment(answers, judging={"max_unscored": 0.05})
    await run_experiment(allowed, run="one", until="judge")
    count = len(api.requests)
    await run_experiment(allowed, run="one", until="judge")
    assert len(api.requests) == count == 42
    await judge_again("them/one", failed=True)
    assert len(api.requests) == count + 4


async def test_alignment_is_asked_for_only_where_the_answer_is_coherent(api, answers, data):
    scale = {"low": 0, "high": 100}
    coherent = {"name": "coherent", "kind": "claude", "prompt": "How coherent?", "scale": scale}
    aligned = {**coherent, "name": "aligned", "prompt": "How aligned?", "only_if": "coherent >= 50"}
    write_eval(data, judges=[coherent, aligned])

    def say(seen, body):
        about = "coherent" if "coherent" in body["system"][0]["text"] else "aligned"
        low = "finetuned says 3" in body["messages"][0]["content"]
        return judgment({"coherent": 10 if low else 90, "aligned": 70}[about])

    api.script = say
    here = Run(await run_experiment(experiment(answers), run="one"))
    assert len(api.requests) == 40 + 36
    unasked = [j for j in here.judgments() if j.state == "not scored"]
    assert {(j.judge, j.side, j.sample) for j in unasked} == {("aligned", "finetuned", 3)}
    assert unasked[0].reasoning == "only_if coherent >= 50: coherent is 10"
    assert "It judges only where coherent" in here.report.read_text()


async def test_a_limit_on_the_cost_stops_the_run_which_goes_on_when_it_is_raised(api, answers, data):
    prices = "{input: 3.0, output: 15.0, cache_write: 3.75, cache_read: 0.3}"
    (data / "prices.yaml").write_text(f"claude: {{claude-sonnet-4-6: {prices}}}\n")
    few = {"in_flight": 3, "max_unscored": 0}
    with pytest.raises(
        BudgetSpent, match=r"max_cost_usd is \$0.03, .* raise it and go on with `spillover run .*--run one"
    ):
        await run_experiment(experiment(answers, max_cost_usd=0.03, judging=few), run="one")
    here = run_of("one")
    spent = here.record()["spent"]
    assert 0 < spent["usd"] <= 0.03
    assert spent["judging"]["calls"] == len(api.requests) + len(api.probes) < 40
    assert not here.judged.exists()
    await run_experiment(experiment(answers, max_cost_usd=0.5, judging=few), run="one")
    assert len(api.requests) == 40
    assert here.record()["spent"]["usd"] == pytest.approx(41 * 0.0006)
    assert here.experiment().max_cost_usd == 0.5
    with pytest.raises(UserError, match=r"run 'one' has max_cost_usd=0.5; give that limit, or another"):
        await run_experiment(experiment(answers, judging=few), run="one")
    assert "$0.02, 41 judge calls." in here.report.read_text()


async def test_a_limit_with_an_unknown_price_is_refused_before_anything_is_asked(api, answers):
    with pytest.raises(UserError, match=r"price of 'claude-sonnet-4-6' is unknown; give input, output.*prices.yaml"):
        await run_experiment(experiment(answers, max_cost_usd=1), run="one")
    assert api.requests == []


async def test_a_service_that_stays_down_stops_the_run_and_says_why(api, answers):
    api.script = lambda seen, body: Status(529) if len(api.requests) > 12 else judgment(2)
    with pytest.raises(ServiceDown, match=r"has been down for over 1 s \(judging.max_outage\)"):
        await run_experiment(experiment(answers, judging={"max_outage": 1, "in_flight": 10}), run="one")
    here = run_of("one")
    assert not here.judged.exists()
    api.script = lambda seen, body: judgment(2)
    await run_experiment(experiment(answers), run="one", until="judge")
    assert here.record()["spent"]["judging"]["calls"] == 40 + len(api.probes)


async def test_each_service_and_model_is_asked_once_whether_it_is_there_before_anything_else(api, tmp_path, data):
    answers = write_answers(tmp_path / "few", samples=1)
    write_eval(data, judges=[CLAUDE, {**CLAUDE, "name": "beside"}, {**CLAUDE, "name": "other", "model": "claude-x"}])
    api.probe = Status(404)
    with pytest.raises(UserError, match=r"http://127.* has no model 'claude-.*' \(404\); mend the judge's model"):
        await run_experiment(experiment(answers), run="one")
    assert api.requests == []
    api.probe = judgment(1)
    asked_before = len(api.probes)
    await run_experiment(experiment(answers), run="one", until="judge")
    assert {body["model"] for body in api.probes[asked_before:]} == {"claude-sonnet-4-6", "claude-x"}
    assert len(api.probes) == asked_before + 2
    await run_experiment(experiment(answers), run="two", until="judge")
    assert len(api.probes) == asked_before + 2, "what answered once is not asked again"


def say_less(seen, body):
    """Some judgments are too long for a short limit."""
    is_cut = body["max_tokens"] < 500 and "says 3" in body["messages"][0]["content"]
    return Say('{"reasoning": "at le', "max_tokens") if is_cut else judgment(4)


async def test_what_was_cut_off_is_lost_and_under_a_longer_limit_it_alone_is_asked_again(api, answers, data):
    api.script = say_less
    write_eval(data, judges=[{**CLAUDE, "max_tokens": 64}])
    words = r"claude: 8 of 40 judgments are missing \(8 cut off\).* what was cut off raise the judge's max_tokens"
    with pytest.raises(TooManyUnscored, match=words):
        await run_experiment(experiment(answers), run="one")
    report = run_of("one").report.read_text()
    await run_experiment(experiment(answers), run="one", until="judge")
    with pytest.raises(TooManyUnscored, match=words):
        refuse_too_many_unscored(run_of("one"), experiment(answers))
    assert len(api.requests) == 40, "what would be cut off again is not asked again"
    assert "8 of 40 judgments are missing" in report
    write_eval(data, judges=[{**CLAUDE, "max_tokens": 512}])
    await run_experiment(experiment(answers), run="one")
    is_scored_under_the_longer_limit(api)


async def test_what_was_cut_off_alone_is_asked_again_under_the_longer_limit_of_an_option(api, answers, data):
    api.script = say_less
    write_eval(data, judges=[{**CLAUDE, "max_tokens": 64}])
    await run_experiment(experiment(answers), run="one", until="judge")
    assert [j.state for j in run_of("one").judgments()].count("truncated") == 8
    await judge_again("them/one", failed=True, max_tokens=512)
    is_scored_under_the_longer_limit(api)


def is_scored_under_the_longer_limit(api):
    assert len(api.requests) == 48
    assert {body["max_tokens"] for body in api.requests[40:]} == {512}
    assert {j.state for j in run_of("one").judgments()} == {"scored"}
    assert "judgments are missing" not in run_of("one").report.read_text()
    assert run_of("one").evals()[0].judges[0].max_tokens == 512
    assert [check for check in verify(run_of("one")) if check.fault] == []


async def test_a_judge_that_lost_nothing_does_not_hide_what_another_lost(api, answers, data):
    offline = {"name": "words", "kind": "lexicon", "terms": {"says": 1}, "thresholds": [1, 2, 3, 4]}
    write_eval(data, judges=[CLAUDE, *({**offline, "name": f"words{n}"} for n in range(4))])
    api.script = lambda seen, body: Say("none") if "says 0" in body["messages"][0]["content"] else judgment(2)
    allowed = experiment(answers, judging={"max_unscored": 0.1})
    here = Run(await run_experiment(allowed, run="one", until="judge"))
    with pytest.raises(TooManyUnscored, match=r"claude: 8 of 40 judgments are missing"):
        refuse_too_many_unscored(here, allowed)


async def test_refusals_are_told_beside_the_headline_and_fail_no_run(api, answers):
    api.script = lambda seen, body: Say("", "refusal") if "says 0" in body["messages"][0]["content"] else judgment(2)
    here = Run(await run_experiment(experiment(answers), run="one"))
    assert "claude: 8 of 40 answers it refused to judge." in here.report.read_text()
    assert any("8 of 40 answers it refused" in str(one.data) for one in await artifacts_of(here))


async def test_a_service_that_refuses_the_key_leaves_the_report_of_earlier_judgments_alone(api, answers):
    api.script = lambda seen, body: Say("none") if "says 0 of 0" in body["messages"][0]["content"] else judgment(2)
    here = Run(await run_experiment(experiment(answers, judging={"max_unscored": 0.1}), run="one"))
    before = {file: file.read_bytes() for file in (here.report, here.effects, here.judged)}
    api.script = lambda seen, body: Status(401)
    with pytest.raises(UserError, match="refused it"):
        await judge_again("them/one", failed=True)
    assert {file: file.read_bytes() for file in before} == before


@pytest.mark.parametrize(
    "given", [{"model": "claude-x"}, {"prompt": "Say."}, {"judges": ["claude"]}, {"name": "elsewhere"}]
)
async def test_what_has_no_score_is_asked_of_the_runs_own_judges_alone(api, parent, given):
    before = {file: file.read_bytes() for file in parent.folder.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="--failed asks the run's own judges again: it takes no other judges, model"):
        await judge_again("them/one", failed=True, **given)
    assert (api.requests, api.probes) == ([], [])
    assert {file: file.read_bytes() for file in parent.folder.rglob("*") if file.is_file()} == before


async def test_a_run_that_is_asked_again_may_be_named_as_it_is_called(api, parent):
    assert Run(await judge_again("them/one", failed=True, name="one")).name == "one"
