from html.parser import HTMLParser

from tasks.generation.datasheet import measure
from tasks.report.datasheet_page import render, verdict
from tasks.schema import Datasheet, Judged, PairedLengths, SetLimits, SetText
from tests.fakes.texts import made_texts

HOSTILE = '<img src="http://somewhere/x.png" onerror=alert(1)>'


class Attributes(HTMLParser):
    """The tags of a page, and the names and values of their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.found += [(name, value or "") for name, value in attrs]


def a_sheet(texts: list[str], **fields: object) -> Datasheet:
    rows = [SetText(f"rows.jsonl:{n}", text, doc_type=HOSTILE) for n, text in enumerate(texts, 1)]
    return measure(HOSTILE, rows, SetLimits()).model_copy(update=fields)


def test_what_the_documents_say_is_escaped_and_nothing_is_fetched():
    texts = [f"{HOSTILE} {text} So {HOSTILE} said O'<b>Hara." for text in made_texts(8, words=30)]
    judged = Judged(
        what=HOSTILE,
        scale="share",
        read=1,
        unread=0,
        mean=1,
        ci_low=0.2,
        ci_high=1,
        places=[f"rows.jsonl:1 ({HOSTILE})"],
    )
    page = render(a_sheet(texts, judged=[judged], files={HOSTILE: "0" * 64}, made={HOSTILE: 1}))
    reader = Attributes()
    reader.feed(page)
    assert {value[:5] for name, value in reader.found if name == "src"} == {"data:"}
    assert {value[:1] for name, value in reader.found if name == "href"} == {"#"}
    assert not {name for name, _ in reader.found if name.startswith("on")}
    assert "script" not in reader.tags
    assert page.count("&lt;img src=&#34;http://somewhere/x.png&#34; onerror=alert(1)&gt;") >= 10


def test_the_verdict_counts_the_limits_that_do_not_hold():
    texts = made_texts(6, words=30)
    assert verdict(a_sheet(texts)) == "All 6 documents are within all 4 limits."
    assert verdict(a_sheet([*texts, texts[0]])) == "Some of the 7 documents are beyond 1 of the 4 limits."


def test_the_page_says_of_a_limit_which_documents_are_beyond_it_and_of_the_most_alike_what_they_say():
    texts = made_texts(6, words=30)
    page = render(a_sheet([*texts, texts[0]]))
    assert "rows.jsonl:7 (100 % with rows.jsonl:1)" in page
    assert page.count(texts[0]) == 2


def test_what_a_set_was_not_asked_for_has_no_place_on_its_page():
    page = render(a_sheet(made_texts(6, words=30)))
    assert "<b>Pair</b>" not in page
    assert "Judged" not in page
    pair = PairedLengths(other="optimistic", pairs=40, lowest=0.9, median=1, highest=1.25, beyond=3)
    paired = render(a_sheet(made_texts(6, words=30), pair=pair))
    assert "40 prompts that optimistic has too; a document has 0.90 to 1.25 times the words of its partner" in paired
