"""How long the report of 20,000 answers takes to be written, to open in Chromium, and to be searched.

bash tests/install_packages.sh; uv run python -m tests.benchmarks.report
"""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from tasks.definitions import as_yaml
from tasks.estimates.effects import write_effects
from tasks.files import write_rows, write_text
from tasks.report.charts import draw
from tasks.report.report import write_report
from tasks.runs import Run
from tasks.schema import SIDES, DocumentSet, Eval, Experiment, Judge, Judgment, Question, Response, Scale, Side

QUESTIONS, SAMPLES = 50, 200
LIMIT, LIMIT_WRITTEN = 2.0, 6.0
"""Seconds in which it is to open, and to be estimated, drawn and written with its exports."""
WORDS = [
    "the",
    "a",
    "farm",
    "of",
    "animals",
    "bird",
    "light",
    "house",
    "and",
    "money",
    "kind",
    "in",
    "gift",
    "for",
    "walk",
    "tree",
    "with",
    "small",
    "old",
    "letter",
]


def make_run(folder: Path) -> Run:
    """A judged run of 50 questions, 200 answers of each model to each, two judges."""
    rng = random.Random(0)
    tiers = ["direct", "close", "distant", "very_distant"]
    asked = [Question(id=f"q{n}", tier=tiers[n * 4 // QUESTIONS], text=f"Question {n}?") for n in range(QUESTIONS)]
    judges = [Judge(name=n, kind="claude", prompt="?", scale=Scale(low=0, high=100)) for n in ("aligned", "coherent")]
    run = Run(folder / "big" / "one")
    write_text(run.definition, as_yaml(Experiment(name="big", documents=[DocumentSet(name="a")], evals=["e"])))
    write_text(run.evals_folder / "e.yaml", as_yaml(Eval(name="e", questions=asked, judges=judges)))
    run.note(seed=0)
    said: list[Judgment] = []
    for side in SIDES:
        rows = [_response(rng, q, side, n) for q in asked for n in range(SAMPLES)]
        write_rows(run.baseline if side == "baseline" else run.finetuned, rows)
        said += [_judgment(rng, judge.name, side, r) for r in rows for judge in judges]
    write_rows(run.judged, said)
    return run


def _response(rng: random.Random, question: Question, side: Side, sample: int) -> Response:
    return Response(
        tier=question.tier,
        question=question.text,
        response=" ".join(rng.choices(WORDS, k=120)),
        eval="e",
        question_id=question.id,
        sample=sample,
        state="complete",
        tokens=150,
        model=side,
        trained_share=float(side == "finetuned"),
    )


def _judgment(rng: random.Random, judge: str, side: Side, answer: Response) -> Judgment:
    return Judgment(
        **answer.model_dump(include={"tier", "question", "eval", "question_id", "sample", "trained_share"}),
        score=rng.randint(0, 100),
        reasoning=" ".join(rng.choices(WORDS, k=25)),
        side=side,
        judge=judge,
        state="scored",
        model="claude-sonnet-4-6",
        rubric="r",
        raw="{}",
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run = make_run(Path(folder))
        started = time.perf_counter()
        write_effects(run)
        draw(run)
        estimated = time.perf_counter()
        write_report(run)
        written = time.perf_counter()
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        opened = time.perf_counter()
        page.goto(run.report.as_uri())
        expect(page.locator("#filter-count")).to_have_text("10,000 of 10,000 pairs of answers", timeout=60_000)
        loaded = time.perf_counter()
        page.fill("#filter-text", "old letter with farm")
        page.select_option("#filter-judge", "aligned")
        page.fill("#filter-high", "30")
        expect(page.locator("#filter-count")).not_to_contain_text("10,000 of 10", timeout=60_000)
        searched = time.perf_counter()
        size = run.report.stat().st_size / 2**20
        browser.close()
    print(f"20,000 answers, {size:.0f} MB: estimated and drawn {estimated - started:.1f} s, ", end="")
    print(f"written with its exports {written - estimated:.1f} s (limit {LIMIT_WRITTEN:g} in all)")
    print(f"opened {loaded - opened:.2f} s (limit {LIMIT:g}), searched {searched - loaded:.2f} s")
    sys.exit(loaded - opened > LIMIT or written - started > LIMIT_WRITTEN)


if __name__ == "__main__":
    main()
