"""results.md, a run for a quick look: both models' averages, the targets, the training, and each question.

text = results(run.experiment(), run.estimates(), run.training_curve())
"""

from collections.abc import Callable, Iterable
from typing import Any

from tasks.schema import Condition, Effect, Experiment, Training
from tasks.visible import in_markdown

TRAINING_CURVE = "![](charts/training_curve.png)"


def results(experiment: Experiment, effects: list[Effect], curve: list[dict[str, Any]]) -> str:
    """A page in Markdown: both models' averages over all questions, the targets, the training, and each question."""
    overall = overall_effects(effects)
    lines = [f"# {experiment.name}", "", experiment.description, "", "## Averages over all questions", ""]
    several = len({effect.eval for effect in overall}) > 1
    lines += _table(overall, "measure", lambda e: f"{e.measure} ({e.eval})" if several else e.measure)
    if outcomes := targets(experiment, overall):
        lines += ["", "## Targets", "", *(f"- {outcome}" for outcome in outcomes)]
    if curve:
        lines += ["", "## Training", "", how_trained(experiment.training, curve), "", TRAINING_CURVE]
    for effect in overall:
        same_measure = [e for e in effects if (e.eval, e.measure) == (effect.eval, effect.measure)]
        lines += ["", f"## {in_markdown(effect.measure)} by question ({effect.eval})", ""]
        lines += _table([e for e in same_measure if e.is_of_question], "question", lambda e: e.question_id)
    return "\n".join(lines) + "\n"


def how_trained(training: Training, curve: list[dict[str, Any]]) -> str:
    """The settings and the losses in a sentence; nothing where there was no training."""
    if not (losses := [row["loss"] for row in curve if "loss" in row]):
        return ""
    return (
        f"{training.base_model}, {training.engine}, rank {training.rank}, {len(losses)} steps of "
        f"{training.batch_words}, {curve[0].get('optimizer', 'Adam')}, learning rate {training.learning_rate:g} "
        f"({training.schedule}), loss "
        f"{losses[0]:.3f} to {losses[-1]:.3f}; all settings are in experiment.yaml."
    )


def overall_effects(effects: list[Effect]) -> list[Effect]:
    """Of each measure its effect over all questions."""
    tiers = [e for e in effects if not e.is_of_question and not e.is_slope]
    of_one_tier = {(e.eval, e.measure): e for e in tiers if not e.is_overall}
    return list((of_one_tier | {(e.eval, e.measure): e for e in tiers if e.is_overall}).values())


def targets(experiment: Experiment, overall: list[Effect]) -> list[str]:
    """Each target with what was found, and whether it is met."""
    found = []
    for target in experiment.targets:
        condition = Condition.parse(target)
        measured = [e for e in overall if e.measure == condition.judge]
        found += [f"{target}: not measured"] if not measured else [_outcome(condition, effect) for effect in measured]
    return found


def _outcome(target: Condition, effect: Effect) -> str:
    if effect.finetuned is None:
        return f"{target} ({effect.eval}): without a score"
    met = "met" if target.compares(effect.finetuned) else "not met"
    base = "" if effect.baseline is None else f" (base model {effect.baseline:.2f})"
    return f"{target} ({effect.eval}): {met}, the fine-tuned model's mean is {effect.finetuned:.2f}{base}"


def _table(effects: list[Effect], first: str, name: Callable[[Effect], str]) -> Iterable[str]:
    yield f"| {first} | base | 95 % | fine-tuned | 95 % | difference | 95 % | answers base / fine-tuned |"
    yield "|---|---|---|---|---|---|---|---|"
    for e in effects:
        before = e.baseline_low_new_questions, e.baseline_high_new_questions
        after = e.finetuned_low_new_questions, e.finetuned_high_new_questions
        cells = (
            *_cells(e.baseline, (e.baseline_low, e.baseline_high), before),
            *_cells(e.finetuned, (e.finetuned_low, e.finetuned_high), after),
            *_cells(
                e.difference,
                (e.ci_low_fixed_questions, e.ci_high_fixed_questions),
                (e.ci_low_new_questions, e.ci_high_new_questions),
            ),
        )
        yield f"| {in_markdown(name(e))} | {' | '.join(cells)} | {e.scored_baseline} / {e.scored_finetuned} |"


Limits = tuple[float | None, float | None]


def _cells(value: float | None, these: Limits, new: Limits) -> tuple[str, str]:
    """The value and its interval: for these questions, or where there is none, for new ones, which is said."""
    known = [(limits, whose) for limits, whose in ((these, ""), (new, ", new questions")) if limits[0] is not None]
    interval = f"{known[0][0][0]:.2f} to {known[0][0][1]:.2f}{known[0][1]}" if known else "–"
    return "–" if value is None else f"{value:.2f}", interval
