"""The report as a reader has it: opened from disk in Debian's Chromium (tests/install_packages.sh)."""

import re
from io import BytesIO

import pytest
from PIL import Image, ImageStat
from playwright.sync_api import expect

from flows.experiment import run_experiment
from flows.report_again import report_again
from tasks.definitions import load_experiment
from tasks.estimates.comparison import compare
from tasks.estimates.groups import grouped
from tasks.files import write_rows, write_text
from tasks.judging.cases import plan
from tasks.judging.judgments import judge_all
from tasks.paid.store import Store
from tasks.report import comparison_page
from tasks.runs import Comparison, Run
from tests.fakes.nouns import LEXICON, an_eval, write_answers

pytestmark = pytest.mark.integration
PHONE = {"width": 390, "height": 844}
PLANTED = '<script>window.caught = 1</script><img src="x" onerror="window.caught = 2">"><b>bold</b><mark>farm</mark>'


@pytest.fixture
def open_page(browser):
    """Opens a file; the page is then held to have said nothing on its console and asked for nothing but itself."""
    contexts, said, asked = [], [], []

    def start(file, fragment="", **options):
        context = browser.new_context(**options)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(file.as_uri() + fragment)
        return page

    yield start
    for context in contexts:
        context.close()
    assert said == []
    assert all(url.startswith(("file:///", "data:image/svg+xml")) for url in asked), asked


@pytest.fixture(scope="module")
def standin(tmp_path_factory, prefect_server):
    """The report of the stand-in's experiment with fewer documents and samples, its line run as it is."""
    import asyncio
    import os

    from tests.conftest import make_data_folder

    before = os.environ.get("SPILLOVER_DATA")
    os.environ["SPILLOVER_DATA"] = str(make_data_folder(tmp_path_factory.mktemp("standin")))
    try:
        few = ["documents.0.limit=24", "training.epochs=1", "sampling.n_samples=3", "sampling.max_tokens=40"]
        return Run(asyncio.run(run_experiment(load_experiment("standin", few), 0, "browser")))
    finally:
        os.environ.pop("SPILLOVER_DATA") if before is None else os.environ.update(SPILLOVER_DATA=before)


def plant(name, *finetuned):
    """A reported run whose answers, question and description hold what a browser would run."""
    experiment, one = load_experiment("standin"), an_eval(LEXICON)
    asked = [q.model_copy(update={"text": f"{q.text} {PLANTED}"}) for q in one.questions]
    one = one.model_copy(update={"questions": asked})
    named = {"name": name, "evals": ["e"], "description": PLANTED}
    run = Run.open(experiment.model_copy(update=named), [one], "planted")
    run.note(seed=0)
    answers = write_answers(run, ("a farm", "two cats"), finetuned)
    write_rows(run.judged, judge_all(plan([one], *answers, 2), Store()))
    report_again(run, [])
    return run


@pytest.fixture
def planted(data):
    return plant("standin", PLANTED, "farms and animal welfare")


@pytest.fixture
def compared(planted):
    """The page of a comparison of two such runs."""
    other = plant("other", "no such word", "a farmhouse")
    groups = grouped([[planted], [other]], ["first", "<i>second</i>"])
    rows, place = compare(groups), Comparison("both")
    write_text(place.page, comparison_page.render(place, groups, rows))
    return place.page


def shown(page):
    """The pairs of answers that are not filtered away."""
    return page.locator(".sample:not([hidden])").count()


def count(page):
    return page.locator("#filter-count").inner_text()


def wait_for(page, pairs):
    """Until the filter, which waits for a pause in typing, has left so many pairs of answers."""
    expect(page.locator("#filter-count")).to_contain_text(re.compile(f"^{pairs} of "))


def test_a_report_opens_from_disk_with_its_charts_and_every_answer(standin, open_page):
    page = open_page(standin.report)
    assert page.title().startswith("standin · browser")
    assert count(page) == "24 of 24 pairs of answers"
    broken = page.evaluate("[...document.images].filter(one => !one.complete || !one.naturalWidth).length")
    assert (broken, page.locator("img").count() >= 4) == (0, True)
    assert page.locator(".headline li").count() == 1


def test_answers_are_found_by_text_tier_judge_and_score(standin, open_page):
    page = open_page(standin.report)
    judgments = [j for j in standin.judgments() if j.side == "baseline" or j.trained_share == 1]
    page.select_option("#filter-tier", "direct")
    wait_for(page, 6)
    assert page.locator("details.question[open]").count() == 2
    page.select_option("#filter-tier", "")
    page.fill("#filter-high", "1")
    low = {(j.question_id, j.sample) for j in judgments if j.score is not None and j.score <= 1}
    wait_for(page, len(low))
    assert shown(page) == len(low)
    page.fill("#filter-high", "")
    word = max(standin.responses()[1][0].response.split(), key=len)
    page.fill("#filter-text", word.upper())
    texts: dict[tuple[str, int], list[str]] = {}
    for r in [r for rows in standin.responses() for r in rows]:
        texts.setdefault((r.question_id, r.sample), []).append(r.response)
    found = [key for key, some in texts.items() if any(word.lower() in text.lower() for text in some)]
    wait_for(page, len(found))
    assert shown(page) == len(found) > 0
    page.keyboard.press("Escape")
    wait_for(page, 24)
    assert page.input_value("#filter-text") == ""


def test_answers_are_found_by_state_and_model(planted, open_page):
    page = open_page(planted.report)
    page.select_option("#filter-side", "finetuned")
    page.fill("#filter-text", "animal welfare")
    wait_for(page, 4)
    page.fill("#filter-text", "two cats")
    wait_for(page, 0)
    assert page.locator("details.question:not([hidden])").count() == 0
    page.click("#filter-clear")
    wait_for(page, 8)
    page.select_option("#filter-state", "scored")
    page.select_option("#filter-judge", "lexicon")
    page.fill("#filter-low", "2")
    expected = {(j.question_id, j.sample) for j in planted.judgments() if j.score is not None and j.score >= 2}
    wait_for(page, len(expected))
    assert expected


def test_the_address_of_an_answer_leads_to_it(standin, open_page):
    page = open_page(standin.report, "#factory_farming.zoos.finetuned.2")
    answer = page.locator("[id='factory_farming.zoos.finetuned.2']")
    assert answer.is_visible()
    assert answer.evaluate("(one) => one.matches(':target')")
    assert page.locator("details.question[open]").count() == 1
    top = answer.bounding_box()["y"]
    assert 0 <= top < page.viewport_size["height"]
    page.locator("details.question[open] .link").first.click()
    assert page.url.endswith("#factory_farming.zoos.baseline.1")


def test_the_browsers_own_search_finds_what_is_not_open(planted, open_page):
    page = open_page(planted.report)
    expect(page.locator(".text")).to_have_count(16)


def test_a_tier_whose_name_begins_and_ends_with_blanks_can_be_chosen(planted, open_page):
    planted.report.write_text(planted.report.read_text().replace('"direct"', '" direct "'))
    page = open_page(planted.report)
    page.select_option("#filter-tier", " direct ")
    wait_for(page, 4)
    assert count(open_page(planted.report, page.evaluate("location.hash"))) == count(page)


def test_keys_search_step_through_the_answers_and_open_all(standin, open_page):
    page = open_page(standin.report)
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.locator(".sample").nth(1).get_attribute("class") == "sample current"
    page.keyboard.press("k")
    assert page.locator(".sample").nth(0).get_attribute("class") == "sample current"
    page.keyboard.press("o")
    assert page.locator("details.question[open]").count() == 0
    page.keyboard.press("o")
    assert page.locator("details.question[open]").count() == 8
    page.keyboard.press("/")
    page.keyboard.type("jok")
    assert page.input_value("#filter-text") == "jok"


def test_what_a_model_wrote_is_shown_and_never_run(planted, open_page):
    page = open_page(planted.report)
    page.keyboard.press("o")
    assert page.evaluate("window.caught") is None
    assert page.locator(".text", has_text="<script>window.caught = 1</script>").count() == 4
    assert page.locator(".text b, .text img, summary b, summary mark").count() == 0


def test_the_words_that_a_lexicon_counted_are_marked_and_no_others(planted, open_page):
    page = open_page(planted.report)
    page.keyboard.press("o")
    marked = page.locator("details.question").first.locator(".text mark")
    assert marked.all_text_contents() == ["farm", "farm", "farms", "animal welfare"], "<mark> in an answer is text"
    titles = [mark.get_attribute("title") for mark in marked.all()]
    assert titles == ["lexicon: farm*"] * 3 + ["lexicon: animal welfare"]


def test_a_view_has_an_address_and_back_leads_to_the_one_before(planted, open_page):
    page = open_page(planted.report)
    page.fill("#filter-text", "<MARK>farm")
    wait_for(page, 4)
    assert page.evaluate("CSS.highlights.get('found').size") == 4, "in the answers, which stay as they are"
    page.select_option("#filter-tier", "direct")
    wait_for(page, 2)
    fragment = "#text=%3CMARK%3Efarm&tier=direct"
    assert page.url.endswith(fragment)
    sent = open_page(planted.report, fragment)
    assert (count(sent), sent.input_value("#filter-tier")) == ("2 of 8 pairs of answers", "direct")
    page.go_back()
    wait_for(page, 4)
    assert page.input_value("#filter-tier") == ""
    page.go_back()
    wait_for(page, 8)
    sent.keyboard.press("Escape")
    wait_for(sent, 8)
    assert "#" not in sent.url


def test_an_address_that_names_nothing_shows_everything(planted, open_page):
    for fragment in ("#tier=gone&low=much&x=1", "#%E0%A4%A", "#nowhere"):
        assert count(open_page(planted.report, fragment)) == "8 of 8 pairs of answers"


def test_an_empty_result_says_which_filter_to_leave_out(planted, open_page):
    page = open_page(planted.report, "#text=two+cats&side=finetuned&tier=direct")
    note = page.locator("#filter-empty")
    buttons = ["Without text “two cats”: 4", "Without model “Fine-tuned”: 2", "Without any filter: 8"]
    assert note.locator("button").all_inner_texts() == buttons
    note.locator("button").nth(1).click()
    wait_for(page, 2)
    assert not note.is_visible()
    assert page.url.endswith("#text=two+cats&tier=direct")


def test_why_a_judge_said_so_is_one_key_away(planted, open_page):
    page = open_page(planted.report)
    page.keyboard.press("o")
    why = page.locator(".why", has_text="weight 1: farm* (1)").first
    assert not why.is_visible()
    assert page.locator(".keys kbd").first.inner_text() == "r"
    page.keyboard.press("r")
    assert why.is_visible()
    assert page.url.endswith("#reasons=1")
    page.keyboard.press("j")
    assert page.evaluate("document.activeElement.matches('.sample.current:focus-visible')")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("r")
    assert not why.is_visible()


def test_what_was_found_in_a_reason_alone_is_seen(planted, open_page):
    page = open_page(planted.report, "#text=animal+welfare+(2)")
    wait_for(page, 4)
    assert page.locator(".why", has_text="animal welfare (2)").first.is_visible()
    page.fill("#filter-text", "animal welfare")  # which is in the answers
    expect(page.locator(".why", has_text="animal welfare (2)").first).not_to_be_visible()
    assert count(page) == "4 of 8 pairs of answers"


def test_the_answers_of_all_runs_to_a_question_stand_side_by_side(compared, open_page):
    page = open_page(compared, "#text=farmhouse")
    wait_for(page, 4)
    row = page.locator(".sample:not([hidden])").first
    names = ["Baseline · sample 2", "first · sample 2", "<i>second</i> · sample 2"]
    assert row.locator("small").all_inner_texts() == names
    assert row.locator(".text").all_inner_texts() == ["two cats", "farms and animal welfare", "a farmhouse"]
    tops = {round(answer.bounding_box()["y"]) for answer in row.locator(".answer").all()}
    assert len(tops) == 1
    page.select_option("#filter-side", "run1")
    wait_for(page, 0)


INKS = """() => ["body", "p small", ".soft", "nav a", ".note", ".judge b", ".state", ".text mark", "button", "select"]
.map((name) => document.querySelector(name)).filter(Boolean).map((element) => {
  const colour = (one) => getComputedStyle(one).backgroundColor;
  let under = element;
  while (under.parentElement && colour(under) === "rgba(0, 0, 0, 0)") under = under.parentElement;
  return [element.className || element.tagName, getComputedStyle(element).color, colour(under)];
})"""


def contrast(*colours):
    """WCAG's contrast ratio of two colours as CSS writes them."""
    light = []
    for colour in colours:
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        light.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(light) + 0.05) / (min(light) + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_by_day_and_by_night_every_text_can_be_read(planted, open_page, scheme):
    page = open_page(planted.report, color_scheme=scheme)
    page.keyboard.press("o")
    found = page.evaluate(INKS)
    assert len(found) >= 8
    assert {name: contrast(ink, under) for name, ink, under in found if contrast(ink, under) < 4.5} == {}
    body = next(under for name, _, under in found if name == "BODY")
    assert (contrast(body, "rgb(0, 0, 0)") < 1.5) == (scheme == "dark")
    charts = page.evaluate("[...document.images].map((one) => getComputedStyle(one).filter)")
    assert {("invert" in chart) for chart in charts} == {scheme == "dark"}


def test_on_paper_stands_what_was_opened_and_no_box_is_empty(planted, open_page):
    page = open_page(planted.report)
    page.locator("details.question summary").first.click()
    page.emulate_media(media="print")
    assert page.locator(".on-paper").is_visible()
    assert page.locator("#filter:visible, nav:visible, .keys:visible").count() == 0
    assert page.locator("details.question .text:visible").count() == 4
    borders = page.locator("details").evaluate_all("(all) => all.map((one) => getComputedStyle(one).borderTopWidth)")
    assert set(borders) == {"0px"}


def test_a_script_that_is_not_the_reports_own_is_refused_by_the_page_itself(planted, browser):
    text = planted.report.read_text().replace("</body>", "<script>window.caught = 3</script></body>")
    planted.report.write_text(text)
    page = browser.new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(planted.report.as_uri())
    assert page.evaluate("window.caught") is None
    assert "Content Security Policy" in refused[0]
    assert count(page) == "8 of 8 pairs of answers", "and the report's own still runs"
    page.close()


def test_every_chart_is_drawn_from_disk_by_its_own_script_with_what_a_point_says(planted, open_page):
    for file in planted.charts.glob("*.html"):
        page = open_page(file)
        expect(page.locator("#chart svg .mark-group path").first).to_be_attached()
        assert page.evaluate("window.caught") is None, file
    page = open_page(planted.charts / "effects_e.html")
    page.locator("#chart svg .mark-symbol path").first.dispatch_event("pointermove")  # the tier's point lies over it
    expect(page.locator("#vg-tooltip-element")).to_contain_text("Text of q1? " + PLANTED)
    assert page.evaluate("window.caught") is None
    assert page.locator("#vg-tooltip-element script, #vg-tooltip-element img, #vg-tooltip-element b").count() == 0
    page.locator("summary").click()
    assert page.locator(".vega-actions a").all_inner_texts() == ["Save as SVG", "Save as PNG"]
    with page.expect_download() as saved:
        page.get_by_text("Save as PNG").click()
    assert saved.value.path().read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_a_chart_runs_nothing_when_it_is_opened_by_itself(planted, open_page):
    for file in planted.charts.glob("*.svg"):
        assert open_page(file).evaluate("window.caught") is None, file


def test_a_script_that_is_not_a_charts_own_is_refused_by_the_page_itself(planted, browser):
    file = planted.charts / "effects_e.html"
    file.write_text(file.read_text().removesuffix("</body>\n</html>") + "<script>window.caught = 3</script>")
    page = browser.new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(file.as_uri())
    expect(page.locator("#chart svg.marks")).to_be_attached()
    assert page.evaluate("window.caught") is None
    assert ["Content Security Policy" in words for words in refused] == [True]
    page.close()


def bottom(page, place):
    box = page.locator(place).first.bounding_box()
    return box["y"] + box["height"]


def test_the_first_screen_holds_the_verdict_one_chart_what_is_missing_and_the_way_on(planted, open_page):
    page = open_page(planted.report, viewport={"width": 1400, "height": 900})
    assert bottom(page, ".headline") < bottom(page, ".first img") < bottom(page, ".facts") < bottom(page, "nav") <= 900
    widths = page.locator("#changed ~ .wide:has(table)").first.evaluate("box => [box.scrollWidth, box.clientWidth]")
    assert widths[0] <= widths[1], "the table of six columns fits"
    phone = open_page(planted.report, viewport=PHONE)
    assert bottom(phone, ".headline") <= PHONE["height"]
    assert phone.locator(".first .wide").evaluate("(box) => box.clientWidth / box.scrollWidth") > 0.7, "most of it"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_a_chart_that_is_cut_has_a_shadow_at_the_side_where_it_goes_on(planted, open_page, scheme):
    phone = open_page(planted.report, viewport=PHONE, color_scheme=scheme)
    picture = Image.open(BytesIO(phone.locator(".first .wide").screenshot())).convert("L")
    left, inside, right = (
        ImageStat.Stat(picture.crop((x, 0, x + 2, picture.height))).median[0] for x in (1, 40, picture.width - 3)
    )
    assert abs(right - inside) > 30
    assert left == inside


def test_nothing_but_tables_and_charts_is_wider_than_a_phone(standin, open_page):
    page = open_page(standin.report, viewport=PHONE)
    page.keyboard.press("o")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_scripts_the_report_can_be_read(standin, open_page):
    page = open_page(standin.report, java_script_enabled=False)
    assert not page.locator("#filter").is_visible()
    page.locator("details.question summary").first.click()
    assert page.locator("details.question .text").first.is_visible()
    assert page.locator("details.question .why").first.is_visible()
