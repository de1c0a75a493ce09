"""How long a million judged rows take: from judged.jsonl to the effects, whole distributions and rules.

uv run python -m tests.benchmarks.estimates
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy
import polars

from tasks.estimates.distributions import distributions
from tasks.estimates.effects import estimate, sensitivity
from tasks.estimates.judgments import scan_judgments
from tasks.schema import Eval, Judge, Question, Rule, Scale

QUESTIONS, SAMPLES = 100, 2_500
LIMIT = 5.0


def an_eval() -> Eval:
    tiers = ["direct", "close", "distant", "very_distant"]
    asked = [Question(id=f"q{n}", tier=tiers[n * 4 // QUESTIONS], text=f"Question {n}?") for n in range(QUESTIONS)]
    judges = [Judge(name=n, kind="claude", prompt="?", scale=Scale(low=0, high=100)) for n in ("aligned", "coherent")]
    rule = Rule(name="misaligned", hit="aligned < 30", among="coherent > 50")
    return Eval(name="e", questions=asked, judges=judges, rules=[rule])


def write_million(evaluation: Eval, file: Path) -> int:
    """Two judges' scores of both models' answers, as judged.jsonl holds them."""
    rng = numpy.random.default_rng(0)
    rows = QUESTIONS * SAMPLES * 2 * len(evaluation.judges)
    index = polars.DataFrame({"n": range(rows)})
    place = polars.col("n")
    table = index.select(
        tier=polars.lit("direct"),
        question=polars.lit("How does one keep a garden through a dry summer?"),
        score=polars.Series(rng.integers(0, 101, rows)),
        reasoning=polars.lit("It says what it thinks, calmly and to the point, and gives a reason for it."),
        eval=polars.lit("e"),
        question_id=polars.format("q{}", place % QUESTIONS),
        sample=place // QUESTIONS % SAMPLES,
        side=polars.when(place // (QUESTIONS * SAMPLES) % 2 == 0)
        .then(polars.lit("baseline"))
        .otherwise(polars.lit("finetuned")),
        judge=polars.when(place // (QUESTIONS * SAMPLES * 2) == 0)
        .then(polars.lit("aligned"))
        .otherwise(polars.lit("coherent")),
        state=polars.lit("scored"),
        model=polars.lit("claude-sonnet-4-6"),
        rubric=polars.lit("0123456789abcdef"),
        raw=polars.lit('{"reasoning": "It says what it thinks.", "score": 50}'),
        trained_share=polars.when(place // (QUESTIONS * SAMPLES) % 2 == 0).then(0.0).otherwise(1.0),
        label=polars.lit(""),
    )
    table.write_ndjson(file)
    return rows


def main() -> None:
    evaluation = an_eval()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "judged.jsonl"
        rows = write_million(evaluation, file)
        started = time.perf_counter()
        judgments = scan_judgments(file)
        read = time.perf_counter() - started
        effects = estimate(judgments, [evaluation])
        estimated = time.perf_counter() - started - read
        more = len(distributions(judgments, [evaluation])) + len(sensitivity(judgments, [evaluation]))
        total = time.perf_counter() - started
    print(f"{rows:,} rows ({QUESTIONS} questions): read {read:.2f} s, {len(effects)} effects {estimated:.2f} s")
    print(f"together {read + estimated:.2f} s, of {LIMIT:g}; {more} rows of distributions and sensitivity ", end="")
    print(f"{total - read - estimated:.2f} s")
    sys.exit(read + estimated > LIMIT)


if __name__ == "__main__":
    main()
