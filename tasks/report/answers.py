"""Questions and answers as a page shows them: side by side, with what the judges said and the words that they counted.

of_run(run, evals, effects)        # the report: the baseline's answers beside the fine-tuned model's
of_groups(groups, rows)            # a comparison: the baseline, or each of several, and every fine-tune
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from markupsafe import Markup

from tasks.counted_words import counted_words
from tasks.estimates.groups import Group
from tasks.estimates.wording import number, signed
from tasks.report.templates import Mark, marked
from tasks.runs import Run
from tasks.schema import SIDES, AnswerKey, Compared, Effect, Eval, Judge, Judgment, Question, Response, Side

SHARES: dict[Side, float] = {"baseline": 0.0, "finetuned": 1.0}
"""The share of the training that the models have seen whose answers are shown."""
NAMES: dict[Side, str] = {"baseline": "Baseline", "finetuned": "Fine-tuned"}

Place = tuple[str, str, str]
"""A question's eval, id and text."""


class Said(NamedTuple):
    """What a judge said of an answer, as a page shows it: plain values, since there are many thousands on one."""

    judge: str
    state: str
    score: float | str
    """Empty: none."""
    first: float | str
    """What is read first: the label, the score, or else the state."""
    why: str
    """The reasoning, or else the reply as it came."""

    @classmethod
    def of(cls, judgment: Judgment) -> "Said":
        """What that judgment says."""
        j, score = judgment, "" if judgment.score is None else judgment.score
        return cls(j.judge, j.state, score, j.label or (j.state if j.score is None else j.score), j.reasoning or j.raw)

    @property
    def opening(self) -> Markup:
        """The element that it stands in, as far as the reasons; of many thousands most are alike."""
        return _opening(self.judge, self.state, self.score, self.first)


@lru_cache(10_000, typed=True)
def _opening(judge: str, state: str, score: float | str, first: float | str) -> Markup:
    form = '<div class="judge" data-name="{}" data-state="{}" data-score="{}"><b>{} {}</b>'
    return Markup(form).format(judge, state, score, judge, first)


class JudgedAnswer(NamedTuple):
    """A response and what the judges said of it."""

    response: Response
    judgments: Sequence[Said]
    text: Markup
    """The response, escaped, with marks around the words that were counted."""


Answers = dict[Place, dict[int, JudgedAnswer]]
"""Those of one model, by question and sample."""


class Column(NamedTuple):
    """A model whose answers stand beneath each other."""

    key: str
    """Part of an answer's address."""
    name: str
    answers: Answers


class Asked(NamedTuple):
    """A question with the answers to it."""

    eval: str
    id: str
    tier: str
    text: str
    changes: list[str]
    """What stands beside the question."""
    notes: list[str]
    """What stands before the answers."""
    samples: dict[int, list[JudgedAnswer | None]]
    """An answer for each column, None where that model gave none; by the sample's number, counted from 1."""


class Reading(NamedTuple):
    """All that a page needs to show answers and to find them."""

    columns: list[Column]
    questions: list[Asked]
    colours: dict[str, int]
    """Of each judge that counts words the colour of their marks, by its number."""
    unit: str
    """What the answers beside each other are called."""

    @property
    def tiers(self) -> list[str]:
        """Those of the questions, each once."""
        return list(dict.fromkeys(question.tier for question in self.questions))

    @property
    def has_several_evals(self) -> bool:
        """Whether it must be said which eval a question is of."""
        return len({question.eval for question in self.questions}) > 1

    @property
    def judges(self) -> list[str]:
        """Those that said something, each once."""
        return list(dict.fromkeys(judgment.judge for judgment in self._judgments()))

    @property
    def states(self) -> list[str]:
        """The states of what they said, each once."""
        return list(dict.fromkeys(judgment.state for judgment in self._judgments()))

    def _judgments(self) -> Iterable[Said]:
        samples = (samples for column in self.columns for samples in column.answers.values())
        return (judgment for answers in samples for answer in answers.values() for judgment in answer.judgments)


def of_run(run: Run, evals: list[Eval], effects: list[Effect]) -> Reading:
    """Every question with both models' answers."""
    colours = _colours(evals)
    by_side = _answers(run, evals, colours)
    columns = [Column(side, NAMES[side], by_side[side]) for side in SIDES]
    by_question: dict[tuple[str, str], list[Effect]] = defaultdict(list)
    for effect in (effect for effect in effects if effect.difference is not None):
        by_question[effect.eval, effect.question_id].append(effect)
    questions = []
    for evaluation in evals:
        for question in evaluation.questions:
            mine = by_question[evaluation.name, question.id]
            changes = [f"{effect.measure} {signed(effect.difference)}" for effect in mine]
            notes = [_before_and_after(effect) for effect in mine] if evaluation.asks == "choices" else []
            questions.append(_asked(columns, evaluation, question, changes, notes))
    return Reading(columns, questions, colours, "pairs of answers")


def _before_and_after(effect: Effect) -> str:
    return f"{effect.measure}: {number(effect.baseline)} before the fine-tune, {number(effect.finetuned)} after"


def of_groups(groups: list[Group], rows: list[Compared]) -> Reading:
    """Every question with the answers of every run; a baseline that several share stands there once."""
    runs = [(_name(group, run), run, run.evals()) for group in groups for run in group.runs]
    colours = _colours([evaluation for _, _, evals in runs for evaluation in evals])
    baselines: dict[str, tuple[list[str], Answers]] = {}
    finetuned = []
    for n, (name, run, evals) in enumerate(runs, 1):
        by_side = _answers(run, evals, colours)
        baselines.setdefault(_texts(by_side["baseline"]), ([], by_side["baseline"]))[0].append(name)
        finetuned.append(Column(f"run{n}", name, by_side["finetuned"]))
    columns = [
        Column(f"baseline{n}", "Baseline" if len(baselines) == 1 else f"Baseline of {', '.join(names)}", answers)
        for n, (names, answers) in enumerate(baselines.values(), 1)
    ]
    columns += finetuned
    asked = {(e.name, q.id, q.text): (e, q) for _, _, evals in runs for e in evals for q in e.questions}
    questions = [_asked(columns, e, q, [], _by_group(rows, e.name, q.id)) for e, q in asked.values()]
    return Reading(columns, questions, colours, "rows of answers")


def _texts(answers: Answers) -> str:
    """The same for models that gave the same answers."""
    return repr(
        [(place, n, given[n].response.response) for place, given in sorted(answers.items()) for n in sorted(given)]
    )


def _name(group: Group, run: Run) -> str:
    return group.label if len(group.runs) == 1 else f"{group.label}, seed {run.record().get('seed', '?')}"


def _by_group(rows: list[Compared], evaluation: str, question_id: str) -> list[str]:
    """How the measures changed on a question, a line for each group."""
    changes: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if (row.eval, row.question_id) == (evaluation, question_id) and row.is_final and not row.against:
            changes[row.label].append(f"{row.measure} {signed(row.difference)}".rstrip())
    return [f"{label}, fine-tuned minus baseline: {', '.join(words)}" for label, words in changes.items()]


def _asked(columns: list[Column], evaluation: Eval, question: Question, changes: list[str], notes: list[str]) -> Asked:
    place = (evaluation.name, question.id, question.text)
    given = [column.answers.get(place, {}) for column in columns]
    beside = {sample + 1: [some.get(sample) for some in given] for sample in sorted(set().union(*given))}
    return Asked(evaluation.name, question.id, question.tier, question.text, changes, notes, beside)


def _colours(evals: list[Eval]) -> dict[str, int]:
    names = [judge.name for evaluation in evals for judge in evaluation.judges if judge.kind in ("lexicon", "yes_no")]
    return {name: n for n, name in enumerate(dict.fromkeys(names))}


def _answers(run: Run, evals: list[Eval], colours: dict[str, int]) -> dict[Side, Answers]:
    """Both models' answers with what was said of them."""
    judges = {(evaluation.name, judge.name): judge for evaluation in evals for judge in evaluation.judges}
    asked = {(evaluation.name, q.id): q.text for evaluation in evals for q in evaluation.questions}
    judgments: dict[AnswerKey, list[Judgment]] = defaultdict(list)
    for judgment in run.judgments():
        judgments[judgment.answer_key].append(judgment)
    found: dict[Side, Answers] = {side: defaultdict(dict) for side in SIDES}
    rows = run.responses() if run.finetuned.is_file() else ([], [])  # results of others may come without answers
    for side, responses in zip(SIDES, rows, strict=True):
        for r in (r for r in responses if r.trained_share == SHARES[side]):
            said = judgments.get(r.answer_key(side), [])
            text = marked(r.response, _marks(r.response, said, judges, colours))
            answer = JudgedAnswer(r, list(map(Said.of, said)), text)
            found[side][r.eval, r.question_id, asked[r.eval, r.question_id]][r.sample] = answer
    return found


def _marks(
    text: str, judgments: list[Judgment], judges: dict[tuple[str, str], Judge], colours: dict[str, int]
) -> list[Mark]:
    """Of every judge that counted in this answer the words that it counted."""
    counting = [judges.get((j.eval, j.judge)) for j in judgments if j.state == "scored" and j.judge in colours]
    return [
        Mark(found.start, found.end, f"{judge.name}: {found.term}", colours[judge.name])
        for judge in counting
        if judge
        for found in counted_words(judge, text)
    ]
