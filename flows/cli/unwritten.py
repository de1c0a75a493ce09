"""Sets that a model is yet to write, as `spillover check` counts them: by their definition, with texts of their length.

with as_if_written(experiment, unwritten) as known:
    mixed, *_ = gather(known.documents, seed=0)
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from flows.cli.generate import steps_of
from tasks.files import write_text
from tasks.generation.costs import TOKENS_A_WORD, whole_cost, words_of
from tasks.paid.prices import CostRange
from tasks.schema import DocumentSet, Experiment, GeneratedSet


def writing_costs(unwritten: list[GeneratedSet]) -> list[tuple[str, CostRange]]:
    """What each of them will cost, whatever of it is in the store already."""
    return [(f"writing {wanted.name}", whole_cost(steps_of(wanted))) for wanted in unwritten]


@contextmanager
def as_if_written(experiment: Experiment, unwritten: list[GeneratedSet]) -> Iterator[Experiment]:
    """The experiment, with texts of as many tokens in the place of each set that is not there."""
    by_name = {wanted.name: wanted for wanted in unwritten}
    with TemporaryDirectory() as folder:
        sets = [
            _stood_in_for(one, by_name.get(one.name.partition("/")[0]), Path(folder)) for one in experiment.documents
        ]
        yield experiment.model_copy(update={"documents": sets}) if unwritten else experiment


def _stood_in_for(documents: DocumentSet, wanted: GeneratedSet | None, folder: Path) -> DocumentSet:
    if wanted is None:
        return documents
    text = " ".join(["word"] * round(words_of(wanted) * TOKENS_A_WORD))
    row = json.dumps({"doc_idea": text[:200], "doc_type": "text", "content": text}) + "\n"
    file = write_text(folder / documents.name / "documents.jsonl", row * wanted.documents)
    return documents.model_copy(update={"name": "", "path": str(file.parent)})
