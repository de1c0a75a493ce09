"""Responses of another program: JSONL rows {tier, question, response}, or a table with such columns.

baseline, finetuned = read_responses("../their_results", evals)     # baseline.jsonl and finetuned.jsonl, or .csv
_, finetuned = read_responses("model_generations.csv", evals)        # one file alone holds the fine-tuned answers
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, data_folder, excerpt, names_in_words, resolve_path, suggestion, validate
from tasks.definitions import resolve_references
from tasks.imports.model_rows import Row, read_rows
from tasks.rows import TABLES
from tasks.schema import Eval, Experiment, Question, Response, Side

KINDS = (".jsonl", *TABLES)


def read_responses(place: str, evals: list[Eval]) -> tuple[list[Response], list[Response]]:
    """The baseline's answers (none where there is one file alone) and the fine-tuned model's.

    A question is found in the evals by its id, or by its text, tier and system prompt as far as a row gives them;
    several rows of one question are its samples, in their order. Raises UserError for a missing file, a row without
    question or response, a question that no eval asks, and one that several ask alike.
    """
    path = resolve_path(place)
    if not os.path.exists(path):
        raise UserError(
            f"responses: {str(path)!r} does not exist (from {Path.cwd()} or {data_folder()}); give a folder or a file"
        )
    sides: tuple[Side, Side] = ("baseline", "finetuned")
    files: list[tuple[Side, Path]] = [(side, file) for side in sides for file in _named(path, side)]
    files = [("finetuned", path)] if os.path.isfile(path) else files
    if "finetuned" not in dict(files):
        raise UserError(f"responses: no finetuned.jsonl or finetuned.csv in {path}; name the fine-tuned answers so")
    found = [answer for side, file in files for answer in _answers(read_rows(file, side), evals, file.name)]
    return [answer for answer in found if answer.trained_share == 0], [
        answer for answer in found if answer.trained_share > 0
    ]


def to_experiment(
    path: Path,
    evals: list[str],
    judges: list[str],
    in_flight: int = 0,
    max_cost_usd: float = 0.0,
    batch: bool = False,
) -> Experiment:
    """An experiment that judges these answers; it is named like their folder or file.

    `in_flight`, `batch` and `max_cost_usd` are the experiment's, where they are given. Raises UserError where `evals`
    names none.
    """
    if not evals:
        raise UserError(
            f"{path}: imported responses need --eval, the evals that ask their questions: {names_in_words('evals')}"
        )
    judging: dict[str, Any] = {"judges": judges, "batch": batch} | ({"in_flight": in_flight} if in_flight else {})
    fields: dict[str, Any] = {
        "name": re.sub(r"[^A-Za-z0-9_.-]+", "_", path.resolve().stem).strip("._") or "imported",
        "description": f"Imported responses: {path.name}.",
        "responses": str(path),
        "evals": list(evals),
        "judging": judging,
        "max_cost_usd": max_cost_usd,
    }
    resolve_references(fields, Path.cwd())
    return validate(Experiment, fields, str(path))


def samples_per_question(*sides: list[Response]) -> int:
    """The most answers that any question has; 1 where there are none."""
    return max((response.sample for side in sides for response in side), default=0) + 1


def _named(folder: Path, name: str) -> list[Path]:
    """The one file of this name, or none."""
    there = [file for kind in KINDS if (file := folder / f"{name}{kind}").is_file()]
    if len(there) > 1:
        raise UserError(f"responses: {folder} has {there[0].name} and {there[1].name}; keep the one that is meant")
    return there


# ---- answers to the questions of evals -----------------------------------------------------------


class Asked(NamedTuple):
    """A question of an eval."""

    eval: str
    question: Question

    def __str__(self) -> str:
        return f"{self.question.id!r} of {self.eval}"


Questions = dict[str, list[Asked]]
"""Those of all evals, by text or by id."""


def _answers(rows: list[Row], evals: list[Eval], file: str) -> list[Response]:
    by_text, by_id = (_questions(evals, of) for of in (lambda q: q.text.strip(), lambda q: q.id))
    seen: Counter[tuple[Side, float, str, str]] = Counter()
    responses = []
    for row in rows:
        if not isinstance(row.fields.get("response"), str):
            raise UserError(f"{row.place}: a row needs the fields question and response; mend it")
        asked = _asked_by(row, by_text, by_id)
        place = (row.side, row.trained_share, asked.eval, asked.question.id)
        responses.append(to_response(asked.eval, asked.question, seen[place], row, f"imported: {file}"))
        seen[place] += 1
    return responses


def _questions(evals: list[Eval], of: Callable[[Question], str]) -> Questions:
    found: Questions = {}
    for evaluation in evals:
        for question in evaluation.questions:
            found.setdefault(of(question), []).append(Asked(evaluation.name, question))
    return found


def _asked_by(row: Row, by_text: Questions, by_id: Questions) -> Asked:
    """The question that a row answers: by its id, or else by its text and whatever else the row says of it.

    UserError where no question is that, and where several are: the row then does not say which it is.
    """
    text = row.text.strip()
    if not (row.name or text):
        raise UserError(f"{row.place}: a row needs the fields question and response; mend it")
    named = by_id.get(row.name, [])
    alike = by_text.get(text, []) if text else named
    if named and not any(asked in alike for asked in named):
        meant = f"the question {named[0]} is {excerpt(named[0].question.text)}"
        raise UserError(f"{row.place}: {meant}, not {excerpt(text)}; mend one of them")
    if not alike:
        what = excerpt(text) if text else f"a question {excerpt(row.name)}"
        raise UserError(f"{row.place}: no eval asks {what}{_hint(text, by_text)}")
    fitting = _narrowed(row, alike)
    if len(fitting) > 1:
        raise UserError(
            f"{row.place}: {fitting[0]} and {fitting[1]} are the same question, and the row does not say which it "
            "answers; give it a question_id, a tier or a system_prompt"
        )
    return fitting[0]


def _narrowed(row: Row, alike: list[Asked]) -> list[Asked]:
    """Those of the questions that fit what the row says beside the text."""
    alike = _fitting(alike, lambda asked: asked.eval == row.cell("eval"))
    ids = {row.name, row.cell("id").strip()}
    if len(by_id := [asked for asked in alike if asked.question.id in ids]) == 1:
        return by_id
    if "system_prompt" in row.fields:
        system = row.cell("system_prompt").strip()
        under = [asked for asked in alike if asked.question.system_prompt.strip() == system]
        if not under:
            condition = f"under the system prompt {excerpt(system)}" if system else "without a system prompt"
            raise UserError(
                f"{row.place}: no eval asks {excerpt(row.text)} {condition}; name the eval that does with --eval"
            )
        alike = under
    # What others call a question's id is, where it has paraphrases, the tier here.
    return _fitting(alike, lambda asked: asked.question.tier in {row.cell("tier").strip(), *ids})


def _fitting(alike: list[Asked], fits: Callable[[Asked], bool]) -> list[Asked]:
    """Those that fit; all where none does, since others may call it otherwise."""
    return [asked for asked in alike if fits(asked)] or alike


def _hint(text: str, by_text: Questions) -> str:
    hint = suggestion(text, by_text)
    return hint if hint.startswith("; did you mean") else "; name the eval that does with --eval"


def to_response(name: str, question: Question, sample: int, row: Row, model: str) -> Response:
    """The answer in a row, to a question of the eval `name`, under what its model is called."""
    return Response(
        tier=question.tier,
        question=question.text,
        response=row.cell("response"),
        eval=name,
        question_id=question.id,
        sample=sample,
        state="complete",
        tokens=0,
        model=model,
        trained_share=row.trained_share,
    )
