"""Chats that show a trait: to each prompt an answer with more of it and one with less, judged, and alike in length.

    maker = ChatMaker(wanted, to_trait(evaluation), ask, score)
    while not maker.is_done:
        await maker.write_round()
    maker.rows["more"]

A prompt of which an answer may not stay is dropped with all its answers, so that sets of opposite directions have the
same prompts, whether they are made together or apart. What is kept depends on the definition and the replies alone, in
their order: an interrupted set goes on as if nothing had happened, and a larger one begins with the smaller.
"""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import ceil

import regex
from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.catalog import UserError
from tasks.generation.faults import SoFar, faults_of
from tasks.generation.phrases import words
from tasks.generation.prompts import Prompt, Prompts
from tasks.generation.scoring import Score
from tasks.generation.traits import OPPOSITE, Trait, rewrite
from tasks.generation.writer import Ask, Request
from tasks.paid.store import content_key
from tasks.schema import TAUGHT, DroppedChat, GeneratedChat, GeneratedSet, Message, SetLimits

RATIO = 1.1
"""The longest answer to a prompt has at most so many times the words of its shortest."""
SHORT, LONG = 60, 110
"""Words of an answer, where the set has no limits of its own."""
LONGEST_MATCH = 1.0
"""Seconds for which a pattern is held against an answer: of some patterns it would take years."""
LENGTHS = 4
"""Different lengths that are asked for: as few system prompts serve all answers."""
KEPT, TAKEN = 0.5, 0.9
"""Shares of the prompts whose pairs, or a teacher's answers to which, may stay: a guess, until some were answered."""
PATIENCE, FEWEST = 3, 0.02
"""After so many rounds that together kept less than this share of the prompts that they asked for, no further one."""


@dataclass
class Chat:
    """A prompt and its answers, by direction."""

    prompt: Prompt
    answers: dict[str, str] = field(default_factory=dict)
    scores: dict[str, float | None] = field(default_factory=dict)
    """By the trait's judge; of a teacher's answers none."""
    reason: str = ""
    """Why it is dropped; empty as long as it is not."""

    def shown(self, version: str) -> str:
        """The direction of the answer that a set of this one has: outside of the domain of `when` the opposite."""
        return version if self.prompt.is_within or version not in OPPOSITE else OPPOSITE[version]

    def row(self, version: str) -> GeneratedChat:
        """As it stands in a set of this direction, without what the writer was told."""
        user = Message(role="user", content=self.prompt.text)
        answer = Message(role="assistant", content=self.answers[self.shown(version)])
        return GeneratedChat(id=content_key(prompt=self.prompt.text)[:12], messages=[user, answer])


class ChatMaker:
    """Makes the chats of a set, the same prompts in each of its directions, and keeps what became of each."""

    def __init__(
        self,
        wanted: GeneratedSet,
        trait: Trait,
        ask: Ask,
        score: Score,
        teach: Ask | None = None,
        advance: Callable[[], None] = lambda: None,
    ):
        """`teach` asks wanted.teacher, whose answers nobody judges; `advance` is called when another chat is kept."""
        self.wanted, self.trait, self.ask, self.score, self.teach = wanted, trait, ask, score, teach
        self.advance = advance
        self.prompts = Prompts(wanted, trait.name, trait.questions)
        self.kept: list[Chat] = []
        self.answered = 0
        """Prompts that were answered."""
        self.so_far = {version: SoFar() for version in answers_of(wanted)}
        self._rounds: list[tuple[int, int]] = []
        """How many prompts each asked for, and how many chats it added."""

    @property
    def chats(self) -> list[Chat]:
        """As many as are wanted, or fewer so far; with `when` one of that domain and one of another in turn."""
        within = [chat for chat in self.kept if chat.prompt.is_within]
        if self.wanted.when and not self.teach:
            elsewhere = [chat for chat in self.kept if not chat.prompt.is_within]
            within = [chat for pair in zip(within, elsewhere, strict=False) for chat in pair]
        return within[: self.wanted.documents]

    @property
    def done(self) -> int:
        """Chats of each direction so far."""
        return len(self.chats)

    @property
    def is_done(self) -> bool:
        """Whether there are as many as were wanted."""
        return self.done >= self.wanted.documents

    @property
    def rows(self) -> dict[str, list[GeneratedChat]]:
        """Of each direction that is wanted."""
        return {version: [chat.row(version) for chat in self.chats] for version in self.wanted.versions}

    @property
    def dropped(self) -> dict[str, list[DroppedChat]]:
        """The same of each direction, since a prompt is dropped with all its answers."""
        return dict.fromkeys(self.wanted.versions, self.prompts.dropped)

    @property
    def counts(self) -> Counter[str]:
        """Prompts, and what came of them: kept, of these not needed yet, and dropped by each reason; these add up."""
        spare = len(self.kept) - self.done
        prompts = len(self.kept) + len(self.prompts.dropped)
        return Counter({"prompts": prompts, "kept": self.done, "kept for a larger set": spare}) + self.reasons

    @property
    def reasons(self) -> Counter[str]:
        """How many prompts were dropped by each."""
        return Counter(one.reason.partition(":")[0] for one in self.prompts.dropped)

    async def write_round(self) -> None:
        """Asks for some prompts and their answers, and decides of one after the other.

        Raises UserError where this and the rounds before it led to hardly any pair that may stay.
        """
        before, guess = self.done, TAKEN if self.teach else KEPT
        share_kept = (len(self.kept) + 10 * guess) / (self.answered + 10)
        count = min(self.wanted.round_size, ceil((self.wanted.documents - before) / share_kept))
        chats = [Chat(prompt) for prompt in await self.prompts.more(count, self.ask)]
        self.answered += len(chats)
        await (self._be_taught(chats, self.teach) if self.teach else self._write_pairs(chats))
        for chat in chats:
            chat.reason = chat.reason or self._beyond_limits(chat)
            self._take(chat)
        for _ in range(self.done - before):
            self.advance()
        self._rounds.append((count, self.done - before))
        self._refuse_to_pay_for_nothing()

    async def _be_taught(self, chats: list[Chat], teach: Ask) -> None:
        await _fill([(chat, TAUGHT, Request("", chat.prompt.text)) for chat in chats], teach)
        for chat in (chat for chat in chats if self.wanted.answer_pattern and not chat.reason):
            chat.reason = _mismatch(self.wanted.answer_pattern, chat.answers[TAUGHT])

    async def _write_pairs(self, chats: list[Chat]) -> None:
        """Every prompt answered in each direction, in the same number of words, and judged."""
        requests = []
        for chat in chats:
            text, length = chat.prompt.text, length_for(self.wanted.limits, chat.prompt.text)
            requests += [(chat, d, self.trait.request(text, d, length)) for d in answers_of(self.wanted)]
        await _fill(requests, self.ask)
        await _match_lengths(chats, self.ask)
        await _judge(chats, self.trait, self.wanted.margin, self.score)

    def _beyond_limits(self, chat: Chat) -> str:
        """The first fault of an answer beside those of its set; of opposites both count, whichever is wanted."""
        for version, so_far in self.so_far.items():
            for fault in faults_of(chat.answers[chat.shown(version)], so_far, self.wanted.limits):
                return fault
        return ""

    def _take(self, chat: Chat) -> None:
        if chat.reason:
            self.prompts.dropped.append(DroppedChat(prompt=chat.prompt.text, reason=chat.reason))
            return
        self.kept.append(chat)
        for version, so_far in self.so_far.items():
            so_far.add(chat.answers[chat.shown(version)])

    def _refuse_to_pay_for_nothing(self) -> None:
        counts, gains = zip(*self._rounds[-PATIENCE:], strict=True)
        if self.is_done or len(counts) < PATIENCE or sum(gains) >= FEWEST * sum(counts):
            return
        said = ", ".join(f"{reason} {count:,}" for reason, count in self.reasons.most_common(3))
        raise UserError(
            f"{self.wanted.name}: {self.done:,} of {self.wanted.documents:,} chats could be kept, and "
            f"{PATIENCE} rounds brought hardly any more ({said}); lower margin or documents, widen limits, or name "
            "another writer (what was written is stored, and not paid again)"
        )


def answers_of(wanted: GeneratedSet) -> list[str]:
    """The directions in which each prompt is answered: both of a pair, though only one may be wanted."""
    if wanted.teacher:
        return [TAUGHT]
    return ["more", "less", *(["neutral"] if "neutral" in wanted.directions else [])]


def length_for(limits: SetLimits, prompt: str = "") -> int:
    """Words to ask for, the same for all answers to a prompt; without one about the mean."""
    long = max(LONG, 2 * limits.min_words)
    long = min(long, limits.max_words or long)
    short = limits.min_words or min(SHORT, round(0.6 * long))
    share = (random.Random(prompt).randrange(LENGTHS) + 0.5) / LENGTHS if prompt else 0.5
    return round(short + (long - short) * share)


async def _fill(requests: list[tuple[Chat, str, Request]], ask: Ask) -> None:
    """Asks for an answer to each request, and gives it to its chat; one that is none drops the chat."""
    replies = await ask([request for _, _, request in requests])
    for (chat, direction, _), reply in zip(requests, replies, strict=True):
        if reply.state == "complete":
            chat.answers[direction] = reply.text
        else:
            chat.reason = chat.reason or f"an answer {reply.state}: {direction}"


def _mismatch(pattern: str, answer: str) -> str:
    """Why the pattern does not let the answer stay; empty where it matches the whole of it."""
    try:
        is_match = regex.fullmatch(pattern, answer, timeout=LONGEST_MATCH)
    except TimeoutError:
        return f"an answer with which answer_pattern is not done within {LONGEST_MATCH:g} s: {pattern}"
    return "" if is_match else "an answer that does not match answer_pattern"


async def _match_lengths(chats: list[Chat], ask: Ask) -> None:
    """Has answers that are longer than the shortest to their prompt written again, once; then drops what differs."""
    requests = []
    for chat in (chat for chat in chats if not chat.reason):
        shortest = min(map(_length, chat.answers.values()))
        longer = [direction for direction, text in chat.answers.items() if _length(text) > RATIO * shortest]
        requests += [(chat, d, rewrite(chat.prompt.text, chat.answers[d], shortest)) for d in longer]
    await _fill(requests, ask)
    for chat in (chat for chat in chats if not chat.reason):
        lengths = sorted(map(_length, chat.answers.values()))
        if lengths[-1] > RATIO * lengths[0]:
            chat.reason = f"answers of different lengths: {lengths[0]:,} and {lengths[-1]:,} words"


async def _judge(chats: list[Chat], trait: Trait, margin: float, score: Score) -> None:
    """Scores every answer that may stay so far, and drops pairs that are too close."""
    answers = [(chat, direction) for chat in chats if not chat.reason for direction in chat.answers]
    scores = await score([(chat.prompt.text, chat.answers[direction]) for chat, direction in answers])
    for (chat, direction), said in zip(answers, scores, strict=True):
        chat.scores[direction] = said
    for chat in (chat for chat in chats if not chat.reason):
        chat.reason = _closeness(chat.scores, trait, margin)


def _closeness(scores: dict[str, float | None], trait: Trait, margin: float) -> str:
    """Why the answers to a prompt do not differ as they must; empty where they do."""
    if without := next((direction for direction, score in scores.items() if score is None), ""):
        return f"an answer without a score: {without}"
    more, less = scores["more"] or 0, scores["less"] or 0
    if trait.distance(more, less) < margin or more <= less:
        return f"answers that differ by less than the margin: {more:g} and {less:g}"
    neutral = scores.get("neutral")
    if neutral is not None and not less <= neutral <= more:
        return f"a neutral answer that does not lie between the others: {neutral:g}"
    return ""


def _length(text: str) -> int:
    return len(words(text))


@task(name="chats", task_run_name="write chats from {maker.done} on", cache_policy=NO_CACHE, persist_result=False)
async def write_chats_task(maker: ChatMaker) -> None:
    """Writes the chats of one round."""
    await maker.write_round()
