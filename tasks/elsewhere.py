"""Answers that another program sampled: JSONL rows {tier, question, response}, or a CSV file with such columns.

baseline, finetuned = read_responses("../their_results", evals)     # baseline.jsonl and finetuned.jsonl, or .csv
_, finetuned = read_responses("model_generations.csv", evals)        # one file alone holds the fine-tuned answers
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.catalog import UserError, names, nearest, validate
from tasks.schema import Eval, Experiment, Question, Response

KINDS = (".jsonl", ".csv")
LONGEST_CELL = 10_000_000


def read_responses(place: str, evals: list[Eval]) -> tuple[list[Response], list[Response]]:
    """The baseline's answers (none where there is one file alone) and the fine-tuned model's.

    A question is found in the evals by its text; several rows of one question are its samples, in their order. Raises
    UserError for a missing file, a row without question or response, and a question that no eval asks.
    """
    path = Path(place).expanduser()
    if not path.exists():
        raise UserError(f"responses: {str(path)!r} does not exist (from {Path.cwd()}); give a folder or a file")
    if path.is_file():
        return [], _read(path, evals, at=1)
    finetuned = _named(path, "finetuned")
    if finetuned is None:
        raise UserError(f"responses: no finetuned.jsonl or finetuned.csv in {path}; name the fine-tuned answers so")
    baseline = _named(path, "baseline")
    return _read(baseline, evals, at=0) if baseline else [], _read(finetuned, evals, at=1)


def to_experiment(
    path: Path, evals: list[str], judges: list[str], in_flight: int = 0, max_cost_usd: float = 0.0
) -> Experiment:
    """An experiment that judges these answers; it is named like their folder or file."""
    if not evals:
        raise UserError(f"{path}: answers from elsewhere need --eval, the evals that ask their questions: {_known()}")
    judging: dict[str, Any] = {"judges": judges} | ({"in_flight": in_flight} if in_flight else {})
    fields = {
        "name": re.sub(r"[^A-Za-z0-9_.-]+", "_", path.resolve().stem).strip("._") or "elsewhere",
        "description": f"Answers from elsewhere: {path.name}.",
        "responses": str(path.resolve()),
        "evals": evals,
        "judging": judging,
        "max_cost_usd": max_cost_usd,
    }
    return validate(Experiment, fields, str(path))


def _known() -> str:
    return ", ".join(names("evals"))


def samples_per_question(*sides: list[Response]) -> int:
    return max((response.sample for side in sides for response in side), default=0) + 1


def _named(folder: Path, name: str) -> Path | None:
    return next((file for kind in KINDS if (file := folder / f"{name}{kind}").is_file()), None)


def _read(file: Path, evals: list[Eval], at: float) -> list[Response]:
    asked = {question.text.strip(): (one.name, question) for one in evals for question in one.questions}
    seen: Counter[str] = Counter()
    responses = []
    for line, row in read_table(file):
        text, answer = row.get("question"), row.get("response")
        if not isinstance(text, str) or not isinstance(answer, str):
            raise UserError(f"{file} line {line}: a row needs the fields question and response; mend it")
        if text.strip() not in asked:
            raise UserError(f"{file} line {line}: no eval asks {text!r}{_hint(text, asked)}")
        name, question = asked[text.strip()]
        responses.append(_response(name, question, answer, seen[text.strip()], f"elsewhere: {file.name}", at))
        seen[text.strip()] += 1
    if not responses:
        raise UserError(f"{file}: no answers in it; give a file that has some")
    return responses


def _hint(text: str, asked: dict[str, Any]) -> str:
    hint = nearest(text.strip(), asked)
    return hint if hint.startswith("; did you mean") else "; name the eval that does with --eval"


def _response(name: str, question: Question, answer: str, sample: int, model: str, at: float) -> Response:
    return Response(
        tier=question.tier,
        question=question.text,
        response=answer.encode("utf-8", "replace").decode(),  # an answer that was cut in the middle of a character
        eval=name,
        question_id=question.id,
        sample=sample,
        state="complete",
        tokens=0,
        model=model,
        at=at,
    )


def read_table(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every row with the line on which it ends; UserError for a file that is not there or cannot be read."""
    if not file.is_file():
        raise UserError(f"{str(file)!r} is not a file (from {Path.cwd()}); give the place of one")
    if file.suffix == ".csv":
        csv.field_size_limit(LONGEST_CELL)
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix == ".csv":
                reader = csv.DictReader(lines)
                for row in reader:
                    yield reader.line_num, row
            else:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield number, _object(line, f"{file} line {number}")
    except UnicodeDecodeError:
        raise UserError(f"{file}: not UTF-8 text; save it as UTF-8") from None
    except csv.Error as error:
        raise UserError(f"{file}: not a CSV file ({error}); mend it") from None


def _object(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{place}: not a JSON object; write one object on each line")
    return value
