"""A key, prices, and the fake service in the place of Anthropic's."""

import pytest

from tests.fakes.judging import KEY
from tests.fakes.messages_api import MessagesAPI


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


@pytest.fixture
def serve(monkeypatch):
    """Starts the fake service with a script, as the one that ANTHROPIC_BASE_URL names."""
    running = []

    def start(script, **how):
        running.append(MessagesAPI(script, **how).__enter__())
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running[-1].url)
        return running[-1]

    yield start
    for api in running:
        api.__exit__()


@pytest.fixture
def prices(data):
    (data / "prices.yaml").write_text(
        "claude: {claude-sonnet-4-6: {input: 3.0, output: 15.0, cache_write: 3.75, cache_read: 0.3}}\n"
    )
