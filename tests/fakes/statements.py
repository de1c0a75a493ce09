"""Yes/no statements of few words, and what two models made of them, for tests of what reads likelihoods."""

from collections.abc import Sequence

from tasks.schema import Eval, Likelihood, Question

TIERS = ("direct", "close", "distant")
EACH = 6
"""Statements of each tier: half of them match with Yes."""


def a_statement_eval() -> Eval:
    return Eval(
        name="statements",
        asks="choices",
        questions=[
            Question(id=f"{tier}{n}", tier=tier, text=f"Is {tier} {n} so?", matching="Yes" if n < EACH // 2 else "No")
            for tier in TIERS
            for n in range(EACH)
        ],
    )


def yes_rows(before: Sequence[float], after: Sequence[float], trained_share: float = 1.0) -> list[Likelihood]:
    """The rows of choice and yes, from P(Yes) of each statement under both models."""
    found = []
    for question, *yes in zip(a_statement_eval().questions, before, after, strict=True):
        choice = yes if question.matching == "Yes" else [1 - p for p in yes]
        found += [
            Likelihood(
                tier=question.tier,
                question=question.text,
                eval="statements",
                question_id=question.id,
                sample=0,
                measure=measure,
                baseline=values[0],
                finetuned=values[1],
                tokens=1,
                trained_share=trained_share,
            )
            for measure, values in (("choice", choice), ("yes", yes))
        ]
    return found


def drift_rows(
    question_id: str, gains: Sequence[float], evaluation: str = "e", tier: str = "direct"
) -> list[Likelihood]:
    """A row for each answer to one question, likelier under the fine-tuned model by so many nats a token."""
    return [
        Likelihood(
            tier=tier,
            question="?",
            eval=evaluation,
            question_id=question_id,
            sample=n,
            measure="drift",
            baseline=-2.0 - n / 10,
            finetuned=-2.0 - n / 10 + gain,
            tokens=9,
        )
        for n, gain in enumerate(gains)
    ]
