"""What of a run's definition may change while the run stays the same one, and what may not."""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from tasks.schema import Eval, Experiment, Rule
from tasks.strict_yaml import dump


def as_yaml(noun: BaseModel, defaults: bool = True) -> str:
    """The noun as YAML, with its defaults filled in, or without them, as a researcher would write it."""
    return dump(noun.model_dump(mode="json", exclude_defaults=not defaults))


def with_rules(evaluation: Eval, rules: list[Rule]) -> Eval:
    """The eval with these rules too; a rule takes the place of one of its name."""
    by_name = {rule.name: rule for rule in [*evaluation.rules, *rules]}
    return evaluation.model_copy(update={"rules": list(by_name.values())})


def change(before: BaseModel | None, now: BaseModel) -> str:
    """The first field that may not change and did, with both values; empty where there is none."""
    return _first_difference(_fixed_part(before) if before else {}, _fixed_part(now))


def are_same(first: Sequence[BaseModel], second: Sequence[BaseModel]) -> bool:
    """Whether two lists of definitions, in their order, differ in nothing but what may change."""
    return [*map(_fixed_part, first)] == [*map(_fixed_part, second)]


def _fixed_part(noun: BaseModel) -> dict[str, Any]:
    """All but what may change: how far a run may go, how hard it may try, and what is applied after the fact."""
    fields = noun.model_dump()
    if isinstance(noun, Experiment):
        free = {"in_flight", "max_unscored", "max_outage"}
        fields = noun.model_dump(exclude={"published": True, "max_cost_usd": True, "targets": True, "judging": free})
    elif isinstance(noun, Eval):
        fields = noun.model_dump(
            exclude={"rules": True, "equivalence_margin": True, "judges": {"__all__": {"max_tokens"}}}
        )
    return fields


def _first_difference(before: Any, now: Any, where: str = "") -> str:
    """The dotted name of the first field with two values, and both."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(k for k in now if k not in before)]:
            if found := _first_difference(before.get(key), now.get(key), f"{where}.{key}".strip(".")):
                return found
        return ""
    return "" if before == now else f"{where} was {before!r}, now {now!r}"
