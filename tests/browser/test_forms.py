"""The forms of what `spillover serve` offers, submitted with a click in Debian's Chromium (tests/install_packages.sh).

Prefect has two user interfaces: the one that `spillover serve` leads to, and the newer one under /v2.
"""

import json
from itertools import product
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.serving.deployments import ON_NEW_DOCUMENTS, ZOO, deployments
from tasks.catalog import names
from tasks.definitions import load_experiment
from tasks.schema import Experiment
from tests.cli.test_terminal import spillover
from tests.conftest import PROJECT, make_data_folder
from tests.serving.test_serve import QUICK, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
OURS = ["demo", "demo_control", "standin"]
PUBLISHED = sorted({file.stem for file in (PROJECT / "data" / "experiments").glob("*.yaml")} - {*OURS})
MINE = "my_zebras"
UIS = pytest.mark.parametrize("ui", ["", "/v2"], ids=["v1", "v2"])


class Form:
    """The form of one deployment, on a page."""

    def __init__(self, page: Page, api: httpx.Client, ui: str, name: str):
        self.page = page
        self.box = "div.group" if ui else ".schema-form-property"
        found = api.get(f"/deployments/name/{name}").raise_for_status().json()
        base = str(api.base_url).removesuffix("/api/")
        page.goto(f"{base}{ui}/deployments/deployment/{found['id']}/run")
        self.submit_button = page.get_by_role("button", name="Submit")
        self.submit_button.wait_for()

    def field(self, title: str):
        """Its title, help text, input and what is wrong with it: the innermost box that has the title."""
        return self.page.locator(self.box).filter(has=self.page.get_by_text(title, exact=True)).last

    def input(self, title: str):
        return self.field(title).locator("input, textarea").first

    def fill(self, title: str, value: str) -> None:
        self.input(title).fill(value)
        self.page.wait_for_timeout(500)  # the form takes it over a moment later

    def mend(self, title: str, value: str) -> None:
        """Fills in what was refused, and waits until the form has looked again: until then /v2 sends nothing."""
        self.fill(title, value)
        expect(self.field(title)).not_to_contain_text("is a required property")

    def submit(self) -> dict[str, Any]:
        """The parameters of the run that is made, which nothing starts."""
        for _ in range(5):  # a database that is busy is asked again
            with self.page.expect_response("**/create_flow_run", timeout=120_000) as answer:
                self.submit_button.click()
            if answer.value.status != 503:
                break
        assert answer.value.status == 201, answer.value.text()
        return answer.value.json()["parameters"]

    def refuse(self, title: str, words: str) -> None:
        """Clicks, and finds the words at the field: the form's own, or those of the browser in front of it."""
        self.submit_button.click()
        wait_for(lambda: words in self.said(title), 60, lambda: self.said(title))
        assert self.page.url.endswith("/run"), "still on the form"

    def said(self, title: str) -> str:
        return self.field(title).inner_text() + self.input(title).evaluate("field => field.validationMessage")


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    """A server with the deployments, and nothing that runs them."""
    folder = make_data_folder(tmp_path_factory.mktemp("forms"))
    (folder / "experiments" / f"{MINE}.yaml").write_text(json.dumps({**QUICK, "name": MINE}))
    url = f"{spillover(folder, 'server', 'start').stdout.strip().rsplit(' ', 1)[1]}/api"
    try:
        with pytest.MonkeyPatch.context() as patch, temporary_settings({PREFECT_API_URL: url}):
            patch.setenv("SPILLOVER_DATA", str(folder))
            for one in deployments():
                one.apply()
        with httpx.Client(base_url=url, timeout=60) as client:
            yield client
    finally:
        spillover(folder, "server", "stop")


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page(viewport={"width": 1400, "height": 1200})
    page.set_default_timeout(120_000)
    return page


@pytest.mark.parametrize(
    ("ui", "name"), [*product([""], [*OURS, *PUBLISHED]), *product(["/v2"], [OURS[-1], PUBLISHED[-1]])]
)
def test_the_form_of_an_experiment_that_nobody_touched_starts_it_as_it_is_defined(api, page, ui, name):
    form = Form(page, api, ui, f"run-experiment/{'' if name in OURS else ZOO}{name}")
    given = form.submit()
    assert Experiment.model_validate(given.pop("experiment")) == load_experiment(name)
    assert {"run": "", "until": "report"} | given == {"run": "", "until": "report"}


@UIS
def test_the_form_of_the_watch_starts_it(api, page, ui):
    defaults = {"folder": "", "experiment": "demo", "quiet_seconds": 60}
    assert defaults | Form(page, api, ui, "watch-documents/watch-documents").submit() == defaults


@UIS
def test_judging_again_wants_a_run_and_nothing_else(api, page, ui):
    form = Form(page, api, ui, "judge-again/judge-again")
    form.refuse("Run", "'run' is a required property")
    form.mend("Run", "standin/one")
    form.fill("In flight (Optional)", "")
    given = form.submit()
    assert given["run"] == "standin/one"
    assert given.keys().isdisjoint({"judges", "in_flight"}), "left empty, or emptied"


@UIS
def test_a_comparison_wants_runs_and_nothing_else(api, page, ui):
    form = Form(page, api, ui, "compare/compare")
    form.submit_button.click()
    expect(form.field("Runs")).to_contain_text("'runs' is a required property")
    form.field("Runs").get_by_role("button", name="Add item").click()
    form.mend("Runs", "standin")
    assert {"name": ""} | form.submit() == {"runs": ["standin"], "name": ""}


@UIS
def test_the_form_for_new_documents_says_what_is_missing(api, page, ui):
    form = Form(page, api, ui, f"run-experiment/{ON_NEW_DOCUMENTS}")
    form.refuse("Name", "'name' is a required property")
    expect(form.field("Evals")).to_contain_text("'evals' is a required property")


@UIS
def test_a_field_that_was_emptied_has_its_default(api, page, ui):
    form = Form(page, api, ui, "run-experiment/standin")
    for title in ("Rank", "Learning rate", "Base model", "Cost limit", "Run"):
        form.fill(f"{title} (Optional)", "")
    given = form.submit()
    training = Experiment.model_validate(given["experiment"]).training
    assert (training.rank, training.learning_rate, training.epochs) == (16, 1e-4, 3)


@UIS
@pytest.mark.parametrize(
    ("title", "value", "words", "help"),
    [
        (
            "Samples (Optional)",
            "0",
            ("less than the minimum of 1", "greater than or equal to 1"),
            "At least 1, at most",
        ),
        ("Rank (Optional)", "513", ("greater than the maximum of 512", "less than or equal to 512"), "at most 512."),
        ("Learning rate (Optional)", "1", ("greater than or equal to the maximum of 1",) * 2, "Above 0, below 1."),
        ("Limit (Optional)", "-1", ("less than the minimum of 0", "greater than or equal to 0"), "At least 0"),
        ("Seed (Optional)", "-1", ("less than the minimum of 0", "greater than or equal to 0"), "At least 0"),
        ("Name", "a/b", ("'a/b' does not match",) * 2, "letters, digits, dashes"),
    ],
    ids=["least", "most", "below", "in a list", "of the flow", "a name"],
)
def test_a_value_out_of_bounds_is_refused_at_its_own_field(api, page, ui, title, value, words, help):
    form = Form(page, api, ui, "run-experiment/standin")
    form.fill(title, value)
    form.refuse(title, words[bool(ui)])
    expect(form.field(title)).to_contain_text(help)


@UIS
def test_the_demos_and_ones_own_experiments_come_before_those_of_others(api, page, ui):
    page.goto(f"{str(api.base_url).removesuffix('/api/')}{ui}/deployments")
    expect(page.get_by_role("link", name=MINE).first).to_be_visible()
    shown = page.get_by_role("link").all_inner_texts()
    assert {*OURS, MINE} <= {*shown}
    assert not [name for name in shown if name.startswith(ZOO)], "those of others come on later pages"
    assert names("experiments") == sorted([*OURS, *PUBLISHED])
