"""What is odd about a set of documents, shown with its lines."""

from flows.console import console
from tasks.catalog import names
from tasks.definitions import load_eval
from tasks.documents.lint import Finding, lengths, lint
from tasks.documents.mixing import to_set
from tasks.documents.sets import Found, read_set
from tasks.engines import get_engine
from tasks.paid.prices import LETTERS_A_TOKEN
from tasks.schema import Document, Training

SHOWN_LINES = 8


def show_lint(place: str, evals: list[str], model: str) -> list[Finding]:
    """Prints how many documents there are, how long they are and what is odd; an unreadable file is a UserError."""
    found = read_set(to_set(place))
    asked = [question.text for name in evals or names("evals") for question in load_eval(name).questions]
    console.print(f"{place}: {len(found.documents):,} documents, {len(found.rejected):,} rows rejected", style="bold")
    console.print(
        f"{'tokens' if model else f'about tokens ({LETTERS_A_TOKEN} letters each)'}: {_lengths(found.documents, model)}"
    )
    for words in not_used(found):
        console.print(words)
    findings = lint(found.documents, found.rejected, asked)
    for finding in findings:
        more = f" and {len(finding.lines) - SHOWN_LINES:,} more" if len(finding.lines) > SHOWN_LINES else ""
        console.print(f"{len(finding.lines):>6,}  {finding.what}: {', '.join(finding.lines[:SHOWN_LINES])}{more}")
    if not findings:
        console.print("nothing odd was found")
    return findings


def not_used(found: Found) -> list[str]:
    """What is there and no part of any document, in words: files, keys, and turns that carry no loss."""
    masked = sum(m.weight == 0 for document in found.documents for m in document.messages)
    keys = [f"{key} ({count:,} rows)" for key, count in found.unused.most_common()]
    return [
        *([f"files not read: {', '.join(found.left_out)}"] if found.left_out else []),
        *([f"keys not used: {', '.join(keys)}"] if keys else []),
        *([f"turns shown and not trained on (weight 0): {masked:,}"] if masked else []),
    ]


def _lengths(documents: list[Document], model: str) -> str:
    if not model:
        return lengths([sum(len(m.content) for m in d.messages) // LETTERS_A_TOKEN for d in documents])
    engine = get_engine(Training(base_model=model, max_length=10**9))
    return lengths([engine.check([document]) for document in documents])
