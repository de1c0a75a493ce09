"""Effects: what changed, by tier, with an interval for these questions and one for new ones.

    effects = estimate(scan_judgments(run.judged), evals)

What changed is a paired difference by question: the mean score of the fine-tuned answers minus that of the baseline
(for a pair judge: minus its floor), or the rate of a rule's hits. Questions weigh the same, unless a rule pools them.
A judgment without a score never becomes a number.
"""

from collections.abc import Iterable
from pathlib import Path

import polars
from prefect import task

from tasks.estimates.distributions import distributions
from tasks.estimates.estimates import Part, effects_of, estimate_effect
from tasks.estimates.holm import adjusted
from tasks.estimates.judgments import at_checkpoint, scan_judgments
from tasks.estimates.measures import likelihood_measures, measures, rule_measure
from tasks.estimates.rules import answers_of, variants
from tasks.runs import Run
from tasks.schema import ALL, Effect, Eval, Likelihood, Share
from tasks.tables import as_table, write_table


def estimate(judgments: polars.DataFrame, evals: list[Eval], likelihoods: Iterable[Likelihood] = ()) -> list[Effect]:
    """For each eval and measure: an effect for each tier, over all of several tiers, their slope, and each question.

    `judgments` is the table of `scan_judgments`. Where the model was asked at several checkpoints of its training,
    the effects of the end come first, then the earlier ones. The p of each checkpoint are adjusted by Holm's method
    for all that stands in its table.
    """
    likelihoods = list(likelihoods)
    judged = judgments.filter(side="finetuned")["trained_share"].unique()
    shares = sorted({1.0, *judged, *(row.trained_share for row in likelihoods)}, reverse=True)
    return [
        effect.model_copy(update={"trained_share": share})
        for share in shares
        for effect in adjusted(_effects_at(share, judgments, evals, likelihoods))
    ]


def _effects_at(
    trained_share: float, judgments: polars.DataFrame, evals: list[Eval], likelihoods: list[Likelihood]
) -> list[Effect]:
    return [
        effect
        for evaluation in evals
        for measure in [
            *measures(evaluation, at_checkpoint(judgments, evaluation, trained_share)),
            *likelihood_measures(evaluation, likelihoods, trained_share),
        ]
        for effect in effects_of([measure], evaluation)
    ]


def sensitivity(judgments: polars.DataFrame, evals: list[Eval]) -> list[Effect]:
    """How each rule's result moves with its thresholds, strict and not strict: an effect over all for each variant."""
    found = []
    for evaluation in evals:
        final = at_checkpoint(judgments, evaluation, 1.0)
        for rule in evaluation.rules:
            answers = answers_of(rule.judges, final)
            for variant in variants(rule, evaluation):
                measure = rule_measure(evaluation, final, variant, answers)
                found.append(estimate_effect(Part([measure], [measure.pairs(evaluation)]), ALL))
    return found


def write_effects(run: Run) -> Path:
    """effects.csv, whose path is returned, distributions.csv, and sensitivity.csv where there is a rule."""
    judgments, evals = scan_judgments(run.judged), run.evals()
    if variants_of_rules := sensitivity(judgments, evals):
        write_table(run.sensitivity, as_table(variants_of_rules, Effect))
    write_table(run.distributions, as_table(distributions(judgments, evals), Share))
    return write_table(run.effects, as_table(estimate(judgments, evals, run.likelihood_rows()), Effect))


@task(name="effects", task_run_name="estimate what changed")
def effects_task(folder: Path) -> Path:
    """`write_effects` of the run in that folder."""
    return write_effects(Run(folder))
