"""Imported results, judged by another program: a table with a column for each measure, or JSON with scores.

    results = read_results(Path("judged.csv"), baseline=Path("judged_base.csv"))

They become an eval whose judges are of kind imported, and for each fine-tuned model its answers, where the file has
them, and judgments.
"""

import re
from collections import Counter
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from tasks.catalog import UserError, excerpt, validate
from tasks.definitions import eval_called, load_eval
from tasks.imports.choices import EVERY, NO_CHOICES, Choices
from tasks.imports.model_rows import Row, read_models
from tasks.imports.responses import to_response
from tasks.imports.score_columns import may_hold_scores, score_columns, set_aside
from tasks.imports.scores import Measured, kind_of, label_of, measure
from tasks.rows import KNOWN_COLUMNS
from tasks.schema import Eval, Judgment, Question, Response, Scale, Side

ONLY_TIER = "questions"
"""Of questions whose rows name no tier."""
SHOWN = 3
"""Values of a column that becomes nothing."""
LONGEST_MADE_ID = 40
"""Characters of an id that is made of a question's text."""
Key = tuple[str, ...]
"""What tells a question from the others of its file."""


class Model(NamedTuple):
    """What a file has of one fine-tuned model, and of the base model beside it."""

    name: str
    group: str
    baseline: list[Response]
    finetuned: list[Response]
    judgments: list[Judgment]


class Results(NamedTuple):
    """What a file of judged results becomes."""

    eval: Eval
    models: list[Model]
    said: list[str]
    """How scales were found, a sentence each."""
    lost: list[str]
    """What could not be carried over."""


def read_results(file: Path, baseline: Path | None = None, choices: Choices = NO_CHOICES) -> Results:
    """The results of one file, or of one for each side. Raises UserError for what cannot be read.

    A column `model` with base and fine-tuned tells the two apart in one file. A word in capitals (CODE, REFUSAL) is a
    label without a score; an empty cell or nan is a judgment that is not there. The eval is called as chosen, or as a
    column `eval` says, or else "imported": runs are compared eval by eval.
    """
    rows = read_models(file, "finetuned", choices, has_baseline=baseline is not None)
    rows += read_models(baseline, "baseline", choices) if baseline else []
    if len(evals := {row.cell("eval") for row in rows}) > 1:
        raise UserError(f"{file}: the column eval has {len(evals)} evals; give each a file of its own")
    rows, left_out = _chosen(rows, choices, file)
    name = choices.eval_name or rows[0].cell("eval") or "imported"
    columns = score_columns(rows, choices, file)
    _refuse_scales_of_no_measure(choices, columns)
    known = _scales_of_eval(choices.eval_name)
    measured = [measure(column, rows, choices.scale_of(column) or known.get(column)) for column in columns]
    _refuse_scales_that_have_no_use(choices, measured)
    questions = _questions(rows)
    fields = {
        "name": name,
        "description": f"Imported results: {file.name}.",
        "questions": [question.model_dump() for question in questions.values()],
        "judges": [each.judge.model_dump() for each in measured],
    }
    evaluation = validate(Eval, fields, str(file))
    if choices.margins:
        evaluation = validate(Eval, {**fields, "equivalence_margins": _margins(measured, choices)}, "--margins")
    models = [_collect(evaluation, model, questions, measured) for model in _by_model(rows)]
    return Results(evaluation, models, _said(measured, choices, known), left_out + _lost(rows, measured, choices))


def has_scores(row: dict[str, Any]) -> bool:
    """Whether an object looks like a judged result: a score in words or numbers, or a field called score.

    A truth value may be said of a question too: it is a score of a row with an answer or a model.
    """
    kinds = {kind_of(value) for key, value in row.items() if key not in KNOWN_COLUMNS and may_hold_scores(key)}
    no_scores = {"missing", "label", "text"} | (set() if {"response", "model"} & row.keys() else {"truth"})
    return "score" in row or bool(kinds - no_scores)


# ---- what is read --------------------------------------------------------------------------------


def _chosen(rows: list[Row], choices: Choices, file: Path) -> tuple[list[Row], list[str]]:
    """The rows of the questions and tiers that are wanted, and how many questions that leaves out."""
    for option, wanted, there in (
        ("--questions", choices.questions, {name for row in rows for name in (row.name, row.text) if name}),
        ("--tiers", choices.tiers, {row.cell("tier") for row in rows}),
    ):
        if missing := [name for name in wanted if name not in there]:
            known = ", ".join(excerpt(name) for name in sorted(there)) or "none"
            raise UserError(f"{option}: {file} has no {excerpt(missing[0])}; there is {known}")
    kept = [
        row
        for row in rows
        if (not choices.questions or {row.name, row.text} & set(choices.questions))
        and (not choices.tiers or row.cell("tier") in choices.tiers)
    ]
    if not kept:
        raise UserError(f"{file}: no row is of these questions and these tiers; choose others")
    left_out = len({_key(row) for row in rows}) - len({_key(row) for row in kept})
    return kept, [f"{left_out:,} questions: --questions and --tiers leave them out"] if left_out else []


def _by_model(rows: list[Row]) -> list[list[Row]]:
    """The rows of each fine-tuned model, after those of the base model; of the base model alone where there is none."""
    base = [row for row in rows if row.side == "baseline"]
    models: dict[tuple[str, str], list[Row]] = {}
    for row in (row for row in rows if row.side == "finetuned"):
        models.setdefault((row.group, row.model), []).append(row)
    return [base + mine for mine in models.values()] or [base]


def _key(row: Row) -> Key:
    """What tells its question from others: its id, or where it has none all that a model was asked."""
    return (row.name,) if row.name else (row.text, row.cell("tier"), row.cell("system_prompt"))


def _questions(rows: list[Row]) -> dict[Key, Question]:
    """Each question once, by the key of its rows."""
    taken = {row.name for row in rows}
    found: dict[Key, Question] = {}
    for row in rows:
        if not (row.name or row.text):
            raise UserError(f"{row.place}: a row needs question_id or question; mend it, or name it with --columns")
        tier, system = row.cell("tier") or ONLY_TIER, row.cell("system_prompt")
        fields = {"tier": tier, "text": row.text or row.name, "system_prompt": system}
        first = found.get(_key(row))
        if first is None:
            name = row.name or _made_id(row.text, taken)
            found[_key(row)] = validate(Question, {"id": name, **fields}, row.place)
            taken.add(name)
        elif fields != {name: getattr(first, name) for name in fields}:
            raise UserError(
                f"{row.place}: question_id {excerpt(row.name)} stands for another question, tier or system prompt "
                "above; give each its own, or read it as the tier: --columns tier=question_id"
            )
    _refuse_questions_that_never_meet(rows)
    return found


def _made_id(text: str, taken: set[str]) -> str:
    """An id made of a question's first words, so that it has the same in every file, whatever the order there."""
    words = re.sub(r"\W+", "_", text.casefold())[:LONGEST_MADE_ID].strip("_") or "q"
    return next(name for name in chain([words], (f"{words}_{n}" for n in count(2))) if name not in taken)


def _refuse_questions_that_never_meet(rows: list[Row]) -> None:
    """A text that both models were asked, but under ids, tiers or system prompts of which none is the same."""
    keys: dict[Side, dict[str, set[Key]]] = {"baseline": {}, "finetuned": {}}
    for row in rows:
        keys[row.side].setdefault(row.text, set()).add(_key(row))
    before, after = keys["baseline"], keys["finetuned"]
    for row in rows:
        if row.text and row.text in before and row.text in after and not before[row.text] & after[row.text]:
            raise UserError(
                f"{row.place}: {excerpt(row.text)} has another question_id, tier or system_prompt with the other "
                "model, so that the two would not be compared; give both the same"
            )


# ---- scales, and what is said of them ------------------------------------------------------------


def _scales_of_eval(name: str) -> dict[str, Scale]:
    """The scales of the judges of an eval that is there."""
    judges = load_eval(found).judges if (found := eval_called(name)) else []
    return {judge.name: Scale(low=judge.scale_min, high=judge.scale_max) for judge in judges}


def _refuse_scales_of_no_measure(choices: Choices, columns: list[str]) -> None:
    if wrong := [name for name in choices.scales if name and name not in columns]:
        raise UserError(f"--scale: there is no measure {wrong[0]!r}; there is {', '.join(columns)}")


def _refuse_scales_that_have_no_use(choices: Choices, measured: list[Measured]) -> None:
    for each in measured:
        if (wanted := choices.scales.get(each.column)) and wanted != each.judge.scale:
            raise UserError(
                f"--scale: {each.column} has counts or truth values, which are from 0 to 1; leave its scale out"
            )


def _margins(measured: list[Measured], choices: Choices) -> dict[str, float]:
    """By the names of judges; the margin that is every measure's is that of all which have none of their own."""
    margins = dict(choices.margins)
    every = margins.pop(EVERY, None)
    return margins if every is None else {each.judge.name: every for each in measured} | margins


def _said(measured: list[Measured], choices: Choices, known: dict[str, Scale]) -> list[str]:
    guessed = [each for each in measured if each.is_guessed]
    taken = [
        each for each in measured if each.judge.scale == known.get(each.column) and not choices.scale_of(each.column)
    ]
    said = [f"The scale was guessed from the scores: {_ends(guessed)}; --scale says another"] if guessed else []
    return said + ([f"The scale is that of the eval {choices.eval_name}: {_ends(taken)}"] if taken else [])


def _ends(measured: list[Measured]) -> str:
    return ", ".join(f"{each.judge.name} {each.judge.scale_min} to {each.judge.scale_max}" for each in measured)


def _lost(rows: list[Row], measured: list[Measured], choices: Choices) -> list[str]:
    used = {each.column for each in measured} | KNOWN_COLUMNS | {choices.group}
    keys = dict.fromkeys(str(key) for row in rows for key in row.fields if key)
    lost = ["the rubric and the model of the judge: the file does not say them"]
    aside = set() if choices.measures else {*set_aside(rows, choices)}
    lost += [f"the column {key}: {_why(key, rows, aside)}" for key in keys if key not in used]
    renamed = [each for each in measured if each.column != each.judge.name]
    return lost + [f"the name {each.column!r}: here it is {each.judge.name}" for each in renamed]


def _why(column: str, rows: list[Row], aside: set[str]) -> str:
    """Why a column has become nothing."""
    if column not in aside:
        return "it is not taken as scores"
    cells = dict.fromkeys(row.cell(column) for row in rows)
    shown = ", ".join(map(excerpt, [*cells][:SHOWN])) + (", …" if len(cells) > SHOWN else "")
    return f"by its name its numbers ({shown}) are no scores; --columns {column}={column} reads them as such"


# ---- answers and judgments -----------------------------------------------------------------------


def _collect(evaluation: Eval, rows: list[Row], questions: dict[Key, Question], measured: list[Measured]) -> Model:
    """Rows of one question and side are its samples, in their order; a row of counts is as many as it counts."""
    seen: Counter[tuple[Side, float, Key]] = Counter()
    answers: dict[Side, list[Response]] = {"baseline": [], "finetuned": []}
    judgments = []
    for row in rows:
        question, place = questions[_key(row)], (row.side, row.trained_share, _key(row))
        if row.fields.get("response") is not None:
            answers[row.side].append(to_response(evaluation.name, question, seen[place], row, "imported"))
        scores = [each.scores(row.fields.get(each.column)) for each in measured]
        judgments += [
            _judgment(evaluation.name, each, question, seen[place] + n, row, score)
            for each, found in zip(measured, scores, strict=True)
            for n, score in enumerate(found)
        ]
        seen[place] += max(map(len, scores), default=1)
    return Model(rows[-1].model, rows[-1].group, answers["baseline"], answers["finetuned"], judgments)


def _judgment(
    name: str, measured: Measured, question: Question, sample: int, row: Row, score: float | None
) -> Judgment:
    value = row.fields.get(measured.column)
    return Judgment(
        tier=question.tier,
        question=question.text,
        score=int(score) if score is not None and score == int(score) else score,
        reasoning=str(row.fields.get("reasoning") or ""),
        eval=name,
        question_id=question.id,
        sample=sample,
        side=row.side,
        judge=measured.judge.name,
        state="not scored" if score is None else "scored",
        model="imported",
        rubric="",
        raw="" if value is None else str(value),
        trained_share=row.trained_share,
        label=label_of(value),
    )
