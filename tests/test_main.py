import io
import os
import subprocess
import sys

import pytest
from rich.console import Console

from flows.cli import terminal
from flows.cli.terminal import effects_table
from flows.console import Terminal
from tasks.definitions import load_experiment
from tasks.estimates.effects import estimate
from tasks.estimates.judgments import judgments_frame
from tasks.files import write_rows
from tasks.progress import Progress
from tasks.runs import Run
from tasks.schema import Failure, Rule
from tasks.visible import HIDDEN
from tests.conftest import PROJECT
from tests.fakes.nouns import CLAUDE, LEXICON, an_eval, judgments
from tests.fakes.statements import a_statement_eval, drift_rows, yes_rows

HEAVY = {
    "prefect",
    "torch",
    "transformers",
    "polars",
    "altair",
    "anthropic",
    "sqlalchemy",
    "tinker",
    "peft",
    "scipy",
    "httpx",
}
TITLE, CLIPBOARD, LINK = "\x1b]0;mine\x07", "\x1b]52;c;cm0gLXJm\x07", "\x1b]8;;http://127.0.0.1\x1b\\here\x1b]8;;\x1b\\"
PLANTED = f"{TITLE} {CLIPBOARD} {LINK} \u202egpj.exe\u202c \x9b2J overwritten\rforged\x08 [/bold]"
SPELLED_OUT = (
    r"\x1b]0;mine\x07",
    r"\x1b]52;c;cm0gLXJm\x07",
    r"\x1b]8;;http://127.0.0.1\x1b\here",
    r"\u202egpj.exe\u202c",
)


def spillover(*arguments, **options):
    """The command line as a process of its own, in the test's data folder."""
    return subprocess.run(
        [sys.executable, "-m", "flows", *arguments], cwd=PROJECT, stderr=subprocess.PIPE, check=False, **options
    )


@pytest.fixture
def lost(data):
    """A run with judge calls that gave no score; what was said in them would drive a terminal."""
    run = Run.open(load_experiment("standin").model_copy(update={"evals": ["e"]}), [an_eval(CLAUDE)], "lost")
    place = {
        "eval": "e",
        "judge": "claude",
        "question_id": "q1",
        "side": "finetuned",
        "trained_share": 1,
        "state": "unreadable",
    }
    said = {"question": PLANTED, "response": PLANTED, "against": PLANTED, "attempts": [PLANTED], "answers": 1}
    write_rows(run.failures, [Failure(**place, **said, sample=n) for n in range(2_000)])
    return run


def test_help_imports_nothing_heavy():
    """Why `spillover --help` answers at once; its time is in the README."""
    code = """
import sys
from flows.__main__ import app
try:
    app(['--help'])
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.split())
    for command in ("run", "check", "list", "report", "server"):
        assert f"  {command} " in done.stdout


def test_the_table_of_effects_fits_a_terminal_of_80_characters_and_says_why_an_interval_is_missing():
    rows = judgments("q1", "baseline", [1, 2, 1]) + judgments("q1", "finetuned", [3, 5, 4])
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(effects_table(estimate(judgments_frame(rows), [an_eval(LEXICON, questions={"q1": "very_distant"})])))
    shown = console.export_text().splitlines()
    assert shown[0].split() == ["eval", an_eval(LEXICON).name + ",", "measure", LEXICON.name]
    cells = ["very_distant", "1.33", "4.00", "+2.67", "+0.62", "to", "+4.00", "–", "6"]
    assert [line.split() for line in shown if line.startswith("very_distant")] == [cells]
    assert shown[-1].rstrip() == "– new questions: 1 question, at least 5 are needed: very_distant"


def test_no_number_is_cut_off_where_several_measures_share_the_table():
    tiers = {f"q{n}": "very_distant" for n in range(1, 6)}
    rules = [Rule(name="misaligned_organisms", hit="lexicon > 1")]
    evaluation = an_eval(LEXICON, questions=tiers).model_copy(update={"rules": rules})
    rows = []
    for n, question in enumerate(tiers):
        both = judgments("q1", "baseline", [1, 2, 1]) + judgments("q1", "finetuned", [1 + 2 * (n % 2), 3, 1 + n // 3])
        rows += [row.model_copy(update={"question_id": question, "tier": "very_distant"}) for row in both]
    effects = [effect for effect in estimate(judgments_frame(rows), [evaluation]) if not effect.is_of_question]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(effects_table(effects))
    shown = console.export_text()
    assert all(len(line) <= 80 for line in shown.splitlines())
    for effect in effects:
        assert f"{effect.ci_low_fixed_questions:+.2f} to {effect.ci_high_fixed_questions:+.2f}" in shown
        assert f"{effect.ci_low_new_questions:+.2f} to {effect.ci_high_new_questions:+.2f}" in shown


def test_several_measures_stand_under_their_names_and_say_what_has_no_interval_or_no_test():
    before = [0.2 + n / 30 for n in range(18)]
    after = [0.25 + n / 31 * (1 + n % 2 / 9) for n in range(18)]
    drifts = [row for n in range(3) for row in drift_rows(f"direct{n}", [0.1, 0.2, 0.4 + n], "statements")]
    rows = yes_rows(before, after) + drifts
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(effects_table(estimate(judgments_frame([]), [a_statement_eval()], rows)))
    shown = [line.rstrip() for line in console.export_text().splitlines()]
    assert max(map(len, shown)) <= 80
    assert [line for line in shown if line in ("choice", "yes", "drift")] == ["choice", "yes", "drift"]
    reasons = " ".join(shown)
    assert "– these questions: exact, since nothing is sampled: choice, yes" in reasons
    assert "makes its answers likelier: drift" in reasons


# ---- text of others ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [[], ["1"]])
def test_what_models_and_judges_said_is_spelled_out_where_it_would_drive_the_terminal(lost, number):
    done = spillover("failures", "standin/lost", *number, stdout=subprocess.PIPE, env={**os.environ, "COLUMNS": "400"})
    shown = done.stdout.decode()
    assert (done.returncode, done.stderr) == (0, b"")
    assert HIDDEN.findall(shown) == []
    assert [words for words in SPELLED_OUT if words not in shown] == []
    assert "[/bold]" in shown


def test_a_mistake_that_names_a_hostile_file_is_one_visible_sentence(lost, tmp_path):
    place = tmp_path / "\x1b]0;mine\x07\u202e" / "run"
    place.parent.mkdir()
    lost.folder.rename(place)
    done = spillover("report", str(place), stdout=subprocess.PIPE)
    told = done.stderr.decode()
    assert (done.returncode, done.stdout, told.count("\n")) == (2, b"", 1)
    assert r"\x1b]0;mine\x07\u202e/run has no judged.jsonl yet" in told
    assert HIDDEN.findall(told) == []


def test_a_tier_in_a_table_is_spelled_out():
    hostile = [j.model_copy(update={"tier": PLANTED}) for j in judgments("q1", "finetuned", [3, 5])]
    effects = estimate(judgments_frame(hostile), [an_eval(LEXICON, questions={"q1": "direct"})])
    shown = io.StringIO()
    effects = [effect.model_copy(update={"tier": TITLE, "eval": CLIPBOARD}) for effect in effects]
    Terminal(file=shown, width=200).print(effects_table(effects))
    assert HIDDEN.findall(shown.getvalue()) == []
    assert SPELLED_OUT[0] in shown.getvalue()
    assert SPELLED_OUT[1] in shown.getvalue()


def test_progress_shows_the_words_of_a_service_as_they_are(monkeypatch):
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "console", Terminal(file=shown, width=200, force_terminal=True))
    with terminal.live_progress():
        Progress("judge")(1, 2, f"calls, down: {TITLE}[/bold]")
    assert rf"1 of 2 calls, down: {SPELLED_OUT[0]}[/bold]" in shown.getvalue()
    assert TITLE not in shown.getvalue()


@pytest.mark.parametrize(
    "command",
    [
        ["--help"],
        ["failures", "standin/lost"],
        ["failures", "standin/lost", "1"],
        ["list"],
        ["check", "standin", "--local", "--quick"],
        ["plan", "--within", "0.8", "--between", "0.3", "--effect", "0.3"],
        ["server", "status"],
    ],
    ids=" ".join,
)
def test_output_that_nobody_reads_any_more_ends_a_command_quietly(lost, command):
    reading, writing = os.pipe()
    os.close(reading)
    done = spillover(*command, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("command", [["--help"], ["list"], ["server", "status"]], ids=" ".join)
def test_output_that_cannot_be_written_is_one_sentence(lost, command):
    with open("/dev/full", "w") as full:
        done = spillover(*command, stdout=full)
    told = "spillover: the output cannot be written (No space left on device); free some space or send it elsewhere\n"
    assert (done.returncode, done.stderr.decode()) == (2, told)
