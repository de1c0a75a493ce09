"""The report as a reader has it: opened from disk in Debian's Chromium (tests/install_packages.sh)."""

import re
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from flows.experiment import run_experiment
from flows.report_again import report_again
from tasks.definitions import load_experiment
from tasks.files import write_rows
from tasks.judging.cases import plan
from tasks.judging.judgments import judge_all
from tasks.paid.store import Store
from tasks.runs import Run
from tests.fakes.nouns import LEXICON, an_eval, write_answers

pytestmark = pytest.mark.integration
PHONE = {"width": 390, "height": 844}
PLANTED = '<script>window.caught = 1</script><img src="x" onerror="window.caught = 2">"><b>bold</b>'


@pytest.fixture(scope="module")
def browser():
    assert shutil.which("chromium"), "run tests/install_packages.sh first"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens a file; the page is then held to have said nothing on its console and asked for nothing but itself."""
    contexts, said, asked = [], [], []

    def start(file, fragment="", **options):
        context = browser.new_context(**options)
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


@pytest.fixture
def planted(data):
    """A run whose answers, question and documents hold what a browser would run."""
    experiment, one = load_experiment("standin").model_copy(update={"evals": ["e"]}), an_eval(LEXICON)
    asked = [q.model_copy(update={"text": f"{q.text} {PLANTED}"}) for q in one.questions]
    one = one.model_copy(update={"questions": asked})
    run = Run.open(experiment.model_copy(update={"description": PLANTED}), [one], "planted")
    run.note(seed=0)
    answers = write_answers(run, ("a farm", "two cats"), (PLANTED, "farms and animal welfare"))
    write_rows(run.judged, judge_all(plan([one], *answers, 2), Store()))
    report_again(run, [])
    return run


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
    assert page.locator("details.question[open]").count() == 1
    top = answer.bounding_box()["y"]
    assert 0 <= top < page.viewport_size["height"]
    page.locator("details.question[open] .link").first.click()
    assert page.url.endswith("#factory_farming.zoos.baseline.1")


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
    assert page.locator(".text b, .text img, summary b").count() == 0


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


def test_nothing_but_tables_and_charts_is_wider_than_a_phone(standin, open_page):
    page = open_page(standin.report, viewport=PHONE)
    page.keyboard.press("o")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_without_scripts_the_report_can_be_read(standin, open_page):
    page = open_page(standin.report, java_script_enabled=False)
    assert not page.locator("#filter").is_visible()
    page.locator("details.question summary").first.click()
    assert page.locator("details.question .text").first.is_visible()
