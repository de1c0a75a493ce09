"""The texts of a set: what of each document is trained on, with what its row says of it.

texts, found = read_texts(DocumentSet(name="factory_farming_neutral"))
"""

from pathlib import Path

from tasks.documents.sets import Found, read_set
from tasks.rows import json_rows
from tasks.schema import Document, DocumentSet, SetText

LABELS = ("doc_type", "fact")
Labels = tuple[str, ...]


def read_texts(wanted: DocumentSet) -> tuple[list[SetText], Found]:
    """The text of every usable document in the order of the files, and what else was read, without the documents.

    Raises UserError as `read_set` does.
    """
    found = read_set(wanted)
    labels = {key: said for file in found.files for key, said in _labels(file)}
    texts = [_text(document, labels[document.file, document.line]) for document in found.documents]
    return texts, found._replace(documents=[])


def _labels(file: Path) -> list[tuple[tuple[str, int], Labels]]:
    rows = ((row.line, row.value) for row in json_rows(file) if isinstance(row.value, dict))
    return [((file.name, line), tuple(str(value.get(label) or "") for label in LABELS)) for line, value in rows]


def _text(document: Document, labels: Labels) -> SetText:
    trained = [m.content for m in document.messages if m.carries_loss]
    shown = [m.content for m in document.messages if not m.carries_loss]
    return SetText(f"{document.file}:{document.line}", "\n\n".join(trained), "\n\n".join(shown), *labels)
