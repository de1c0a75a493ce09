"""Documents to datums: ours beside the cookbook's own, on 20,000 documents of 500 words, in one run, with its memory.

uv run python -m tests.benchmarks.tokenisation
"""

import gc
import random
import time
from collections.abc import Iterator

import psutil
from tinker_cookbook.renderers import TrainOnWhat, get_renderer
from tinker_cookbook.supervised.data import conversation_to_datum
from tinker_cookbook.tokenizer_utils import get_tokenizer

from tasks.catalog import data_folder, model_folder
from tasks.documents.sets import gather
from tasks.engines.tinker_data import Datums, turns
from tasks.schema import Document, DocumentSet, Message
from tests.engines.test_tinker_data import plain

DOCUMENTS, WORDS, BLOCK = 20_000, 500, 1_000


def main() -> None:
    base = model_folder("standin")
    assert base is not None
    tokenizer = get_tokenizer(str(base.resolve()))
    renderer, datums = get_renderer("llama3", tokenizer), Datums(tokenizer, "llama3", "standin")
    blocks, ours, theirs, memory = documents(), 0.0, 0.0, []
    for number in range(DOCUMENTS // BLOCK):
        block = [next(blocks) for _ in range(BLOCK)]
        started = time.perf_counter()
        mine = datums.of(block)
        ours += time.perf_counter() - started
        started = time.perf_counter()
        yours = [
            conversation_to_datum(turns(d.messages), renderer, None, TrainOnWhat.ALL_ASSISTANT_MESSAGES) for d in block
        ]
        theirs += time.perf_counter() - started
        assert all(plain(a) == plain(b) for a, b in zip(mine, yours, strict=True))
        del mine, yours
        gc.collect()
        memory.append(psutil.Process().memory_info().rss / 2**20)
        if number in (0, 4, 9, 19):
            print(f"{(number + 1) * BLOCK:6,} documents, {memory[-1]:,.0f} MB after them")
    print(
        f"{DOCUMENTS:,} documents of {WORDS} words: ours {ours / DOCUMENTS * 1000:.2f} ms a document, the cookbook's "
        f"{theirs / DOCUMENTS * 1000:.2f} ms, ratio {theirs / ours:.2f}; datums equal; "
        f"memory grew by {memory[-1] - memory[0]:.0f} MB from the first thousand to the last"
    )


def documents() -> Iterator[Document]:
    """Documents of WORDS words, sentences of the shipped sets in an order of their own."""
    sets = [DocumentSet(name=folder.name) for folder in sorted((data_folder() / "documents").iterdir())]
    texts = [d.messages[-1].content for d in gather(sets, 0)[0]]
    sentences = [s.strip() + "." for text in texts for s in text.split(".") if len(s.split()) > 3]
    chance = random.Random(0)
    for line in range(DOCUMENTS):
        text = ""
        while len(text.split()) < WORDS:
            text += " " + chance.choice(sentences)
        messages = [
            Message(role="user", content=f"Document {line}\n\nDocument type: Letter"),
            Message(role="assistant", content=" ".join(text.split()[:WORDS])),
        ]
        yield Document(messages=messages, source="s", line=line + 1, file="f.jsonl")


if __name__ == "__main__":
    main()
