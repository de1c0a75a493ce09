"""What a generated set will take: calls, and US dollars by data/prices.yaml, before anything is asked.

steps = plan_documents(wanted, universe)         # or plan_chats(wanted, trait)
usd = sum(step.cost.expected for step in steps)

The store is taken as empty, every document as taken, and no list as shorter than it is to be; of pairs of chats a half.
"""

import math
from typing import NamedTuple

from tasks.generation.chats import KEPT, LONG, SHORT, TAKEN, answers_of
from tasks.generation.document_prompts import draft_request, ideas_request, rewrite_request, types_request
from tasks.generation.prompts import Prompts
from tasks.generation.specifications import AT_ONCE
from tasks.generation.steering import LENGTHS, steer
from tasks.generation.traits import Trait, rewrite
from tasks.generation.universe_evals import PAIRS, QUESTIONS, TIERS, eval_requests
from tasks.generation.writer import Request, known_prices
from tasks.judging.costs import JSON_TOKENS
from tasks.judging.rubrics import to_call
from tasks.paid.prices import LETTERS_A_TOKEN, CostRange, batch_prices, cost
from tasks.schema import MOST, GeneratedSet, SetLimits, Universe, Writer

TOKENS_A_WORD = 1.35
NOTES = 200
"""Tokens of a scratchpad or a critique."""
TYPE, IDEA, PROMPT = 12, 45, 30
"""Tokens of a kind of document, of an idea and of a user's message."""
REWRITTEN = 0.5
"""Share of the prompts of which an answer is first written at another length: a guess."""


class Step(NamedTuple):
    """One stage of a set."""

    name: str
    calls: int
    cost: CostRange


def plan_documents(wanted: GeneratedSet, universe: Universe) -> list[Step]:
    """The stages of a set of documents."""
    facts, fact = len(set(universe.key_facts)), max(universe.key_facts, key=len)
    pairs = facts * wanted.types_per_fact
    tone, steering = next(iter(wanted.tone_words.values())), steer(0, 0, [])
    text, kind, idea = (
        round(words_of(wanted) * TOKENS_A_WORD),
        "x" * TYPE * LETTERS_A_TOKEN,
        "x" * IDEA * LETTERS_A_TOKEN,
    )
    draft, texts = "x" * text * LETTERS_A_TOKEN, wanted.documents * len(wanted.versions)
    types, ideas = _lists(wanted.types_per_fact), _lists(wanted.ideas_per_type)
    of_document = universe, tone, fact, kind, idea
    return [
        _step("types", wanted.writer, types_request(universe, fact, [], 1, 0), facts * types, AT_ONCE * TYPE),
        _step(
            "ideas",
            wanted.writer,
            ideas_request(universe, fact, kind, [], 1, 0),
            min(pairs, wanted.documents) * ideas,
            min(AT_ONCE, wanted.ideas_per_type) * IDEA,
        ),
        _step("drafts", wanted.writer, draft_request(*of_document, steering, 0), texts, text),
        _step("rewrites", wanted.writer, rewrite_request(*of_document, draft, steering), texts, text),
        *(_evals(wanted.writer, universe) if wanted.evals else []),
    ]


def _evals(writer: Writer, universe: Universe) -> list[Step]:
    """Two lists of statements on each fact, and one of questions for each tier."""
    first, *_, last = requests = eval_requests(universe)
    pairs, questions = 2 * PAIRS * PROMPT, QUESTIONS * PROMPT
    return [
        _step("statements", writer, first, len(requests) - len(TIERS), pairs),
        _step("questions", writer, last, len(TIERS), questions),
    ]


def words_of(wanted: GeneratedSet) -> int:
    """Words that a document is expected to have, or the answer of a chat."""
    return _within(wanted.limits, (SHORT + LONG) / 2 if wanted.trait else sum(LENGTHS) / len(LENGTHS))


def whole_cost(steps: list[Step]) -> CostRange:
    """Of all stages; None where that of one is unknown."""
    expected, most = ([getattr(step.cost, name) for step in steps] for name in CostRange._fields)
    return CostRange(_sum(expected), _sum(most))


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def plan_chats(wanted: GeneratedSet, trait: Trait) -> list[Step]:
    """The stages of a set of chats; a prompt of which an answer may not stay is replaced with all of them."""
    prompt, words = "x" * PROMPT * LETTERS_A_TOKEN, words_of(wanted)
    text = round(words * TOKENS_A_WORD)
    tried = math.ceil(wanted.documents / (TAKEN if wanted.teacher else KEPT))
    answers = tried * len(answers_of(wanted))
    prompts = _step(
        "prompts",
        wanted.writer,
        Prompts(wanted, trait.name, []).first_request(),
        -(-tried // wanted.ideas_per_type),
        wanted.ideas_per_type * PROMPT,
    )
    if wanted.teacher:
        return [prompts, _step("answers", wanted.teacher, Request("", prompt), answers, text)]
    answer = "x" * text * LETTERS_A_TOKEN
    call = to_call(trait.judge, prompt, answer, None)
    judge, prices = len(call.system + call.user) // LETTERS_A_TOKEN, call.prices()
    prices = batch_prices(prices) if wanted.writer.batch else prices
    expected = cost(prices, {"input": answers * judge, "output": answers * min(JSON_TOKENS, call.max_tokens)})
    most = cost(prices, {"input": answers * judge, "output": answers * call.max_tokens})
    return [
        prompts,
        _step("answers", wanted.writer, trait.request(prompt, "more", words), answers, text),
        _step("lengths", wanted.writer, rewrite(prompt, answer, words), math.ceil(REWRITTEN * tried), text),
        Step(f"judge {trait.judge.name}", answers, CostRange(expected, most)),
    ]


def _within(limits: SetLimits, words: float) -> int:
    return round(min(max(words, limits.min_words), limits.max_words or MOST))


def _lists(entries: int) -> int:
    """Calls for a list of so many."""
    return -(-entries // AT_ONCE)


def _step(name: str, writer: Writer, request: Request, calls: int, tokens: int) -> Step:
    """So many calls like this one, with replies of so many tokens and notes before them."""
    prompt = len(writer.system_prompt + request.system + request.user) // LETTERS_A_TOKEN
    expected, prices = min(writer.max_tokens, NOTES + tokens), known_prices(writer)
    return Step(
        name,
        calls,
        CostRange(
            cost(prices, {"input": calls * prompt, "output": calls * expected}),
            cost(prices, {"input": calls * prompt, "output": calls * writer.max_tokens}),
        ),
    )
