"""Evals, responses and judgments of few words, for tests of what reads them."""

from collections.abc import Sequence

from tasks.files import write_rows
from tasks.runs import Run
from tasks.schema import Eval, Judge, Judgment, Question, Response, Side, State

LEXICON = Judge(
    name="lexicon", kind="lexicon", reads="pair", terms={"farm*": 1, "animal welfare": 2}, thresholds=[1, 2, 4, 8]
)
CLAUDE = Judge(name="claude", kind="claude", reads="pair", prompt="Score it.")
TIERS = {"q1": "direct", "q2": "direct", "q3": "distant", "q4": "distant"}


def an_eval(*judges: Judge, questions: dict[str, str] = TIERS) -> Eval:
    return Eval(
        name="e",
        questions=[Question(id=q, tier=t, text=f"Text of {q}?") for q, t in questions.items()],
        judges=list(judges),
    )


def responses(*texts: str, question: str = "q1") -> list[Response]:
    return [
        Response(
            tier=TIERS[question],
            question=f"Text of {question}?",
            response=text,
            eval="e",
            question_id=question,
            sample=i,
            state="complete",
            tokens=3,
            model="m",
        )
        for i, text in enumerate(texts)
    ]


def judgments(
    question: str, side: Side, scores: Sequence[int | None], judge: str = "lexicon", state: State = "unreadable"
) -> list[Judgment]:
    """One judgment a score; where it is None, one in the given state."""
    return [
        Judgment(
            tier=TIERS[question],
            question=f"Text of {question}?",
            score=score,
            reasoning="",
            eval="e",
            question_id=question,
            sample=i,
            side=side,
            judge=judge,
            state=state if score is None else "scored",
            model="m",
            rubric="r",
            raw="",
            trained_share=float(side == "finetuned"),
        )
        for i, score in enumerate(scores)
    ]


def write_answers(run: Run, before: tuple[str, ...], after: tuple[str, ...]) -> tuple[list[Response], list[Response]]:
    """The same answers to every question, as a run holds them; returned as they were written."""
    baseline = [r.model_copy(update={"trained_share": 0.0}) for q in TIERS for r in responses(*before, question=q)]
    finetuned = [r for q in TIERS for r in responses(*after, question=q)]
    write_rows(run.baseline, baseline)
    write_rows(run.finetuned, finetuned)
    return baseline, finetuned
