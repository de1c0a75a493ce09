import io
import subprocess
import sys

from rich.console import Console

from flows.terminal import effects_table
from tasks.effects import estimate
from tasks.rules import as_words
from tasks.schema import Rule
from tests.conftest import PROJECT
from tests.fakes.nouns import LEXICON, an_eval, judgments

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
    rows = [row for side in (("baseline", [1, 2, 1]), ("finetuned", [3, 5, 4])) for row in judgments("q1", *side)]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(effects_table(estimate(as_words(rows), [an_eval(LEXICON, questions={"q1": "very_distant"})])))
    shown = console.export_text().splitlines()
    assert shown[0].split() == ["eval", an_eval(LEXICON).name + ",", "judge", LEXICON.name]
    cells = ["very_distant", "1.33", "4.00", "+2.67", "+0.62", "to", "+4.72", "–", "6"]
    assert [line.split() for line in shown if line.startswith("very_distant")] == [cells]
    assert shown[-1].rstrip() == "– new questions: too few questions (1 of 5): very_distant"


def test_no_number_is_cut_off_where_several_measures_share_the_table():
    tiers = {f"q{n}": "very_distant" for n in range(1, 6)}
    one = an_eval(LEXICON, questions=tiers).model_copy(
        update={"rules": [Rule(name="misaligned_organisms", hit="lexicon > 1")]}
    )
    rows = [
        j.model_copy(update={"question_id": question, "tier": "very_distant"})
        for n, question in enumerate(tiers)
        for side, scores in (("baseline", [1, 2, 1]), ("finetuned", [1 + 2 * (n % 2), 3, 1 + n // 3]))
        for j in judgments("q1", side, scores)
    ]
    effects = [effect for effect in estimate(as_words(rows), [one]) if not effect.question]
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(effects_table(effects))
    shown = console.export_text()
    assert all(len(line) <= 80 for line in shown.splitlines())
    for effect in effects:
        assert f"{effect.these_low:+.2f} to {effect.these_high:+.2f}" in shown
        assert f"{effect.new_low:+.2f} to {effect.new_high:+.2f}" in shown
