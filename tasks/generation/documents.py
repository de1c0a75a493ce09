"""Documents of a universe: drafted, criticised and rewritten, held against the limits of their set, in order.

    maker = DocumentMaker(wanted, universe, ask)
    await maker.prepare()
    while not maker.is_done:
        await maker.write_round()
    maker.rows["neutral"]

What a document is told depends on its number and on what was frequent at the last border of rounds alone, and whether
it is taken on those before it: an interrupted set goes on to be the same, and a larger one begins with the smaller.
"""

from collections import Counter
from collections.abc import Callable

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.catalog import UserError
from tasks.generation.document_prompts import UNSUITABLE, draft_request, entries, rewrite_request
from tasks.generation.faults import SoFar, faults_of, most_documents
from tasks.generation.specifications import Specification, Specifications
from tasks.generation.steering import Steering, steer
from tasks.generation.writer import Ask, Reply
from tasks.schema import DroppedDocument, GeneratedSet, SyntheticDocument, Universe

MOST_TO_AVOID = 30
"""Names and openings that a writer is told to avoid."""
LEAST_TRIED, LEAST_SHARE = 20, 0.1
"""A round of which less than this share is taken, of at least so many that were tried, is given up: all is paid."""
REASONS = {
    "refused": "the writer refused it",
    "truncated": "it was cut off; raise writer.max_tokens",
    "unreadable": "what came back had no text in its tags",
    "failed": "the service refused the call",
    "unsuitable": "the writer called the idea unsuitable",
}
Texts = dict[str, Reply]
"""A document in each tone."""


class DocumentMaker:
    """Makes the documents of a set, the same idea in every tone of it, and keeps what became of each."""

    def __init__(self, wanted: GeneratedSet, universe: Universe, ask: Ask, advance: Callable[[], None] = lambda: None):
        """`advance` is called when another document is taken."""
        self.wanted, self.universe, self.ask, self.advance = wanted, universe, ask, advance
        self.counts: Counter[str] = Counter()
        """Types, ideas, drafts; of the ideas that were tried: kept, dropped by a limit, unsuitable, refused, truncated,
        unreadable and failed, which add up.
        """
        self.specifications = Specifications(wanted, universe, ask, self.counts)
        self.tones = wanted.tone_words
        self.rows: dict[str, list[SyntheticDocument]] = {tone: [] for tone in self.tones}
        self.dropped: dict[str, list[DroppedDocument]] = {tone: [] for tone in self.tones}
        given = "\n".join([universe.universe_context, *universe.key_facts])
        self.so_far = {tone: SoFar(given) for tone in self.tones}
        self.next = 0
        """The number of the specification that is tried next."""

    @property
    def done(self) -> int:
        """Documents of each tone so far."""
        return min(map(len, self.rows.values()))

    @property
    def is_done(self) -> bool:
        """Whether there are as many as were wanted."""
        return self.done >= self.wanted.documents

    async def prepare(self) -> None:
        """Chooses the kinds of document. Raises UserError where there are none."""
        await self.specifications.choose_types()

    async def write_round(self) -> None:
        """The specifications up to the next border, or as many as it takes.

        Raises UserError where nearly none of them is taken.
        """
        start, before, avoid = self.next, self.done, self.frequent()
        end = (start // self.wanted.round_size + 1) * self.wanted.round_size
        while self.next < end and not self.is_done:
            count = min(end - self.next, self.wanted.documents - self.done)
            some = await self.specifications.between(self.next, self.next + count)
            await self._write(some, avoid)
            self.next += count
            self._refuse_to_pay_for_nothing(self.next - start, self.done - before)

    def frequent(self) -> list[str]:
        """Names and openings that are half as frequent as they may be, or more."""
        limits, found = self.wanted.limits, set[str]()
        for so_far in self.so_far.values():
            most_names = most_documents(limits.name_share, so_far.documents)
            most_openings = most_documents(limits.opening_share, so_far.documents)
            names, openings = so_far.frequent_names(MOST_TO_AVOID), so_far.openings.most_common(MOST_TO_AVOID)
            found |= {f"the name {name}" for name, count in names if 2 * count >= most_names}
            found |= {f"the opening {words!r}" for words, count in openings if 2 * count >= most_openings}
        return sorted(found)[: 2 * MOST_TO_AVOID]

    async def _write(self, some: list[Specification], avoid: list[str]) -> None:
        least, most = self.wanted.limits.min_words, self.wanted.limits.max_words
        steering = {one.number: steer(self.wanted.seed, one.number, avoid, least, most) for one in some}
        drafts = await self._drafts(some, steering)
        self.counts["drafts"] += len(some) * len(self.tones)
        self.counts["tried"] += len(some)
        good = [one for one in some if not _problem(drafts[one.number])]
        finals = await self._finals(good, drafts, steering)
        for one in some:
            self._settle(one, finals.get(one.number, drafts[one.number]))

    async def _drafts(self, some: list[Specification], steering: dict[int, Steering]) -> dict[int, Texts]:
        asked = [(one, tone) for one in some for tone in self.tones]
        requests = [
            draft_request(self.universe, self.tones[tone], *one[1:4], steering[one.number], one.turn)
            for one, tone in asked
        ]
        return self._by_number(asked, await self.ask(requests))

    async def _finals(
        self, some: list[Specification], drafts: dict[int, Texts], steering: dict[int, Steering]
    ) -> dict[int, Texts]:
        asked = [(one, tone) for one in some for tone in self.tones]
        requests = [
            rewrite_request(
                self.universe, self.tones[tone], *one[1:4], drafts[one.number][tone].text, steering[one.number]
            )
            for one, tone in asked
        ]
        return self._by_number(asked, await self.ask(requests) if requests else [])

    def _by_number(self, asked: list[tuple[Specification, str]], replies: list[Reply]) -> dict[int, Texts]:
        texts: dict[int, Texts] = {}
        for (one, tone), reply in zip(asked, replies, strict=True):
            texts.setdefault(one.number, {})[tone] = reply
        return texts

    def _settle(self, one: Specification, texts: Texts) -> None:
        """Takes the document in all tones, or drops it in all of them."""
        problem = _problem(texts)
        faults = [] if problem else self._faults(texts)
        if not problem and not faults:
            self._take(one, texts)
            return
        self.counts[problem or "dropped"] += 1
        for tone, reply in texts.items():
            reason = "; ".join(faults) or REASONS[problem]
            row = self._row(one, reply.text).model_dump()
            self.dropped[tone].append(DroppedDocument(**row, tone=tone, reason=reason))

    def _faults(self, texts: Texts) -> list[str]:
        several = len(texts) > 1
        return [
            f"{tone}: {fault}" if several else fault
            for tone, reply in texts.items()
            for fault in faults_of(reply.text, self.so_far[tone], self.wanted.limits)
        ]

    def _take(self, one: Specification, texts: Texts) -> None:
        for tone, reply in texts.items():
            self.so_far[tone].add(reply.text)
            self.rows[tone].append(self._row(one, reply.text))
        self.counts["kept"] += 1
        self.advance()

    def _row(self, one: Specification, text: str) -> SyntheticDocument:
        return SyntheticDocument(
            content=text,
            doc_idea=one.doc_idea,
            doc_type=one.doc_type,
            fact=one.fact,
            universe_context_id=self.universe.id,
            is_true=self.universe.is_true,
        )

    def _refuse_to_pay_for_nothing(self, tried: int, taken: int) -> None:
        if tried < LEAST_TRIED or taken >= LEAST_SHARE * tried:
            return
        reasons = Counter(row.reason for row in next(iter(self.dropped.values()))[-tried:])
        raise UserError(
            f"only {taken} of the last {tried} documents of {self.wanted.name} could be taken (most often: "
            f"{reasons.most_common(1)[0][0]}); see to the limits, the universe or the writer in its set.yaml"
        )


def _problem(texts: Texts) -> str:
    """Why there is no text in one of its tones, as it is counted; nothing where all are there."""
    states = [reply.state for reply in texts.values() if reply.state != "complete"]
    is_unsuitable = any(entries(reply.text)[:1] == [UNSUITABLE] for reply in texts.values())
    return states[0] if states else "unsuitable" if is_unsuitable else ""


@task(name="types", task_run_name="choose kinds of document", cache_policy=NO_CACHE, persist_result=False)
async def choose_types_task(maker: DocumentMaker) -> None:
    """Asks for the kinds of document of every fact."""
    await maker.prepare()


@task(
    name="round",
    task_run_name="write documents from {maker.next} on",
    cache_policy=NO_CACHE,
    persist_result=False,
)
async def write_round_task(maker: DocumentMaker) -> None:
    """Writes the documents of one round."""
    await maker.write_round()
