"""What a model says of a sample of a set, for its datasheet: hidden mentions, wrong facts, strength of tone or trait.

calls, usd = plan(subject, 100)                     # before anything is asked
rows = await judge(subject, 100, budget)
"""

import statistics
from collections.abc import Sequence

from flows.datasheet import Subject
from flows.preflight import check_writer, trait_of
from tasks.estimates.intervals import t_interval, wilson
from tasks.generation.judged import Found, Reading, read, readings, sample
from tasks.generation.scoring import scored_by
from tasks.generation.traits import Trait
from tasks.generation.writer import Writing, known_prices
from tasks.judging.providers import check_key
from tasks.judging.rubrics import to_call
from tasks.paid.budget import Budget
from tasks.paid.prices import LETTERS_A_TOKEN, CostRange, batch_prices, cost
from tasks.paid.store import Store, content_key
from tasks.schema import Judged, Writer

SEED = 0
REPLY = 60
"""Tokens that are expected of a verdict."""


def reader(subject: Subject) -> Writer:
    """Who reads: the model that wrote the set, or the one that would.

    UserError for a key that is missing, its own or that of the judge of the set's trait.
    """
    writer = subject.made.writer if subject.made else Writer()
    check_writer(writer, has_limit=bool(subject.made and subject.made.max_cost_usd))
    if trait := _trait(subject):
        check_key(trait.judge)
    return writer


def budget_of(subject: Subject) -> Budget:
    """Of the set of this name, if it was generated: what reading costs is part of what it may cost."""
    cap = subject.made.max_cost_usd if subject.made else 0.0
    identity = content_key(generated_set=subject.made.name if subject.made else subject.name)
    return Budget(Store(), identity, cap, f"spillover data sheet {subject.name}")


def plan(subject: Subject, count: int) -> tuple[int, CostRange]:
    """How many calls it takes to read so many documents, and what they cost; the store is taken as empty."""
    drawn, writer, trait = sample(subject.texts, count, SEED), reader(subject), _trait(subject)
    requests = [reading.request(text.text) for reading in _readings(subject) for text in drawn]
    prompts = [len(request.system + request.user) for request in requests]
    known = known_prices(writer)
    ranges = [_priced(known, prompts, REPLY), _priced(known, prompts, writer.max_tokens)]
    if trait:
        calls = [to_call(trait.judge, text.prompt, text.text, None) for text in drawn]
        scores = [len(call.system + call.user) for call in calls]
        known = batch_prices(calls[0].prices()) if writer.batch else calls[0].prices()
        more = [_priced(known, scores, REPLY), _priced(known, scores, trait.judge.max_tokens)]
        ranges = [None if None in pair else sum(filter(None, pair)) for pair in zip(ranges, more, strict=True)]
    return len(requests) + (len(drawn) if trait else 0), CostRange(*ranges)


async def judge(subject: Subject, count: int, budget: Budget) -> list[Judged]:
    """What the model says of so many documents; what the store has is not asked again. Raises UserError as `Ask`."""
    drawn, trait = sample(subject.texts, count, SEED), _trait(subject)
    writing = Writing(reader(subject), budget)
    async with writing as ask:
        await writing.check(*([trait.judge] if trait else []))
        rows = [to_row(reading, await read(drawn, reading, ask)) for reading in _readings(subject)]
        if trait:
            scores = await scored_by(trait.judge, writing)([(text.prompt, text.text) for text in drawn])
            rows.append(_rated(f"how far it shows {trait.name}", _ends(trait), scores))
    return rows


def to_row(reading: Reading, found: Found) -> Judged:
    """The share of the documents with Wilson's interval, or the mean rating with Student's."""
    if reading.is_rating:
        return _rated(reading.what, (1, 5), found.values)
    known = [value for value in found.values if value is not None]
    share = statistics.mean(known) if known else None
    low, high = wilson(share, len(known)) if share is not None else (None, None)
    return _row(reading.what, "share", found.values, (share, low, high), found.places)


def _rated(what: str, ends: tuple[int, int], values: Sequence[float | None]) -> Judged:
    known = [value for value in values if value is not None]
    mean = statistics.mean(known) if known else None
    low = high = None
    if mean is not None and len(set(known)) > 1:
        error = statistics.stdev(known) / len(known) ** 0.5
        low, high = t_interval(mean, error, len(known) - 1).within(*ends)[:2]
    return _row(what, f"{ends[0]} to {ends[1]}", values, (mean, low, high), [])


def _row(
    what: str,
    scale: str,
    values: Sequence[float | None],
    estimate: tuple[float | None, float | None, float | None],
    places: list[str],
) -> Judged:
    mean, low, high = estimate
    unread = sum(value is None for value in values)
    read_ones = len(values) - unread
    return Judged(
        what=what, scale=scale, read=read_ones, unread=unread, mean=mean, ci_low=low, ci_high=high, places=places
    )


def _readings(subject: Subject) -> list[Reading]:
    """Without the tone where the strength of a trait is scored."""
    return [one for one in readings(subject.limits, subject.given) if not (one.is_rating and _trait(subject))]


def _trait(subject: Subject) -> Trait | None:
    return trait_of(subject.made) if subject.made and subject.made.trait else None


def _ends(trait: Trait) -> tuple[int, int]:
    return trait.judge.scale_min, trait.judge.scale_max


def _priced(known: dict[str, float], prompts: list[int], tokens: int) -> float | None:
    """US dollars of calls with prompts of so many letters, and replies of so many tokens each."""
    return cost(known, {"input": sum(prompts) // LETTERS_A_TOKEN, "output": len(prompts) * tokens})
