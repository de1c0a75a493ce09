"""Responses of another program, and an eval that asks their questions: a run to judge without an engine.

Results that another program judged, in the shapes in which they are published.
"""

import csv
import json
from pathlib import Path
from typing import Any

import numpy

RUBRIC = "Say how far the answer speaks of animals, from 1 (not at all) to 5 (of nothing else)."
CLAUDE = {"name": "claude", "kind": "claude", "prompt": RUBRIC}


def write_eval(
    data: Path, questions: int = 4, judges: list[dict[str, Any]] | None = None, name: str = "animals"
) -> None:
    asked = [{"id": f"q{i}", "tier": "near" if i % 2 else "far", "text": f"What of {i}?"} for i in range(questions)]
    content = {"name": name, "questions": asked, "judges": judges or [CLAUDE]}
    (data / "evals" / f"{name}.yaml").write_text(json.dumps(content))


def write_answers(place: Path, questions: int = 4, samples: int = 5, baseline: bool = True, says: str = "says") -> Path:
    """A folder with `samples` answers of each side to each question, in the seed project's format."""
    place.mkdir(parents=True, exist_ok=True)
    for side in ("baseline", "finetuned") if baseline else ("finetuned",):
        rows = [
            {"tier": "any", "question": f"What of {i}?", "response": f"{side} {says} {sample} of {i}"}
            for sample in range(samples)
            for i in range(questions)
        ]
        (place / f"{side}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


# ---- results as others publish them --------------------------------------------------------------

Scores = dict[tuple[str, str], list[int]]
"""By model (base, tuned) and question."""
TIER_OF = {f"q{n}": ("near", "far", "other")[n // 2] for n in range(6)}


def made_scores(highest: int = 100, samples: int = 5, models: tuple[str, ...] = ("base", "tuned")) -> Scores:
    """Whole scores from 0 to the highest of each model for each question."""
    random = numpy.random.default_rng(highest)
    drawn = {
        (model, question): random.integers(0, highest + 1, samples).tolist() for model in models for question in TIER_OF
    }
    return {key: [0, highest, *scores[2:]] if key == (models[0], "q0") else scores for key, scores in drawn.items()}


def as_csv(file: Path, rows: list[dict[str, Any]]) -> Path:
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def as_json(file: Path, content: Any) -> Path:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=1))
    return file


def long_rows(scores: Scores, column: str = "score", cell: str = "{}") -> list[dict[str, Any]]:
    """A row for each answer; `cell` is how a score is written."""
    return [
        {"model": model, "question_id": question, "tier": TIER_OF[question], column: cell.format(score)}
        for (model, question), some in scores.items()
        for score in some
    ]
