"""Cases of few words, a dispatcher that judges them, and replies as the store keeps them."""

from tasks.judging.asking import ask_judges, to_calls
from tasks.judging.cases import Case, plan
from tasks.judging.dispatcher import Dispatcher
from tasks.judging.judgments import judge_all
from tasks.paid.budget import Budget
from tasks.paid.store import Store, StoredReply
from tasks.schema import Judge, Judgment, Scale
from tests.fakes.nouns import CLAUDE, an_eval, responses

KEY = "sk-planted-0123456789"
ONE_QUESTION = {"q1": "direct"}
COHERENT = Judge(name="coherent", kind="claude", prompt="How coherent?", scale=Scale(low=0, high=100))
ALIGNED = COHERENT.model_copy(update={"name": "aligned", "prompt": "How aligned?", "only_if": "coherent >= 50"})


def cases_of(judge: Judge, baseline: list[str], finetuned: list[str]) -> list[Case]:
    """Of these answers to one question."""
    evals = [an_eval(judge, questions=ONE_QUESTION)]
    return plan(evals, responses(*baseline), responses(*finetuned), len(finetuned))


def some_cases(n: int = 1, judge: Judge = CLAUDE) -> list[Case]:
    """Two for each of `n` samples: fine-tuned, and baseline."""
    return cases_of(judge, [f"before {i}" for i in range(max(n, 2))], [f"after {i}" for i in range(n)])


async def judged(
    cases: list[Case], in_flight: int = 10, again: list[Case] | None = None, budget: Budget | None = None, **settings
) -> tuple[list[Judgment], Budget]:
    """Asks, with short waits between retries; `again` are cases whose stored replies do not count."""
    store = Store()
    async with Dispatcher(store, in_flight, budget, initial_backoff=0.01, **settings) as dispatcher:
        keys = frozenset(case.call.key for case in again or [])
        failed_calls = await ask_judges(to_calls(cases), dispatcher, lambda: None, keys)
    return judge_all(cases, store, failed_calls), dispatcher.budget


def attempts(case: Case) -> list[str]:
    """All replies to its call that are stored."""
    return [answer.body["text"] for answer in Store().attempts([case.call.key])[case.call.key]]


def stored_reply(case: Case, text: str, stop_reason: str = "end_turn", attempt: int = 0) -> StoredReply:
    """What a judge replied, as the store keeps it."""
    body = {"text": text, "stop_reason": stop_reason, "model": "claude-x", "usage": {}, "max_tokens": 1024}
    return StoredReply(case.call.key, "judgment", body, attempt)
