"""Responses of another program, and an eval that asks their questions: a run to judge without an engine."""

import json
from pathlib import Path
from typing import Any

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
