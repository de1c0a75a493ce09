"""The matrix as a reader has it, on a phone: opened from disk in Debian's Chromium (tests/install_packages.sh)."""

import re

import pytest
from playwright.sync_api import expect

from flows.study_matrix import matrix_of_runs
from tests.fakes.study_runs import a_run

pytestmark = pytest.mark.integration


@pytest.fixture
def phone(browser):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.set_default_timeout(120_000)
    return page


def test_on_a_phone_the_map_scrolls_under_its_names_and_a_field_leads_to_its_texts(data, phone):
    said = []
    phone.on("console", lambda message: said.append(message.text))
    shifts = {"optimism": 20.0, "formality": 5.0}
    runs = [("a fine-tune with a long name", [a_run("hopeful", 0, shifts)]), ("control", [a_run("control", 0, {})])]
    written = matrix_of_runs("x", runs, {"a fine-tune with a long name": {"optimism": "more"}})
    phone.goto(written.page.as_uri())
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    map_, names = phone.locator(".map"), phone.locator(".names")
    before = names.bounding_box()
    map_.evaluate("element => element.scrollLeft = 120")
    assert map_.evaluate("element => element.scrollLeft") > 0
    assert names.bounding_box() == before
    field = phone.locator(".map > svg a").filter(has_text=re.compile(r"^\+\d")).last
    field.scroll_into_view_if_needed()
    field.click()
    expect(phone).to_have_url(re.compile(r"/results/study/(hopeful|control)-0/report\.html#(judge=|optimism_choice\.)"))
    assert said == []
