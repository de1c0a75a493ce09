from importlib.metadata import version

import httpx
import pytest
from typer.testing import CliRunner

from flows.__main__ import app
from flows.cli import doctor
from flows.cli.doctor import addresses, disk, examine, models, server, store, versions
from tasks.paid.store import Store
from tests.fakes.messages_api import MessagesAPI, judgment
from tests.fakes.tinker_lineup import serving

NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in (*doctor.KEYS, *doctor.ELSEWHERE.values(), "PREFECT_API_URL", "PREFECT_UI_URL"):
        monkeypatch.delenv(name, raising=False)


def states(found):
    return {finding.what: finding.state for finding in found}


def test_what_not_everyone_needs_is_told_and_is_no_fault(data, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "requires", lambda _: [])
    assert examine("standin")
    said = capsys.readouterr().out
    for line in (
        "– server: the local Prefect server is not running; whatever needs it starts it",
        f"– store: no answer is stored yet; the first run makes {data / 'store' / 'answers.db'}",
        "– keys: set: none; not set: ANTHROPIC_API_KEY, OPENAI_API_KEY",
        "✓ models: the stand-in is there",
        "✓ standin: standin can be trained and asked",
        "All is well.",
    ):
        assert line in said
    assert not (data / "store").exists(), "looking makes nothing"


def test_what_is_wrong_has_its_remedy_and_the_exit_status_says_so(data, monkeypatch):
    monkeypatch.setenv("TINKER_API_KEY", "sk-planted")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-too")
    monkeypatch.setenv("TINKER_BASE_URL", f"{NOWHERE}/tinker")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://user:planted@127.0.0.1:9")
    (data / "store").mkdir()
    (data / "store" / "answers.db").write_text("no database")
    done = CliRunner().invoke(app, ["doctor", "factory_farming_neutral_qwen3_8_27b"])
    assert done.exit_code == 1
    for words in (
        "✗ store: ",
        "is no store of answers (file is not a database); move it away, or set SPILLOVER_STORE",
        "✗ keys: TINKER_API_KEY is not a Tinker key (they begin with tml-); copy it anew",
        f"✗ addresses: {NOWHERE}/tinker cannot be reached (ConnectError); see to the network",
        "✗ addresses: http://...@127.0.0.1:9 cannot be reached",
        "✗ factory_farming_neutral_qwen3_8_27b: TINKER_API_KEY is not a Tinker key",
        "things are wrong.",
    ):
        assert words in done.output
    assert "planted" not in done.output


def test_a_service_that_answers_anything_is_there_and_is_sent_no_key(monkeypatch):
    with MessagesAPI(lambda *_: judgment(3)) as claude, serving("m") as tinker:
        for name, address in (("ANTHROPIC", claude.url), ("TINKER", tinker)):
            monkeypatch.setenv(f"{name}_API_KEY", "tml-planted")
            monkeypatch.setenv(f"{name}_BASE_URL", address)
        assert [finding.state for finding in addresses()] == ["well", "well"]
        assert not claude.requests


def test_a_server_that_does_not_answer_and_one_of_another_version_are_told(monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    (finding,) = server()
    assert finding.words == f"no Prefect server answers at {NOWHERE}; start it, or unset PREFECT_API_URL"
    monkeypatch.setattr(doctor, "is_healthy", lambda _: True)
    (finding,) = server()
    assert finding.words.startswith(f"{NOWHERE} does not say which version of Prefect it runs; if it wants a login")
    monkeypatch.setenv("PREFECT_API_URL", "no address")
    assert states(server()) == {"server": "wrong"}


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("ALL_PROXY", "socks5://me:planted@127.0.0.1:9", "ImportError"),
        ("ALL_PROXY", "nonsense://me:planted@127.0.0.1:9", "ValueError"),
        ("ANTHROPIC_BASE_URL", "http://a..b", "UnicodeError"),
    ],
)
def test_a_proxy_that_cannot_be_used_and_a_host_that_is_none_are_told_like_any_other(
    monkeypatch, variable, value, named
):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted")
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    monkeypatch.setenv(variable, value)
    found = [*server(), *addresses()]
    assert [finding.state for finding in found] == ["wrong", "wrong"]
    assert f"cannot be reached ({named}); see to the network" in found[1].words
    assert not [finding for finding in found if "planted" in finding.words]


def test_a_package_of_another_version_is_named_with_both(monkeypatch):
    wanted = ["rich==1.2.3", "no-such-package==1.0", "anthropic[aiohttp]==0.1; python_version < '3'"]
    monkeypatch.setattr(doctor, "requires", lambda _: wanted)
    (finding,) = versions()
    assert "but rich is " in finding.words
    assert ", not 1.2.3, no-such-package is missing, not 1.0; bring back what was tested: uv sync" in finding.words


def test_a_disk_that_is_full_and_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    monkeypatch.setenv("SPILLOVER_DATA", str(tmp_path / "not" / "yet"))
    assert states(disk()) == {"disk": "well"}
    standin = next(models())
    assert (standin.state, "which --quick needs; copy data/models/standin there" in standin.words) == (
        "not there",
        True,
    )
    monkeypatch.setattr(doctor, "LEAST_FREE", 1e30)
    (finding,) = disk()
    assert "make room (`spillover prune` says what can go), or set SPILLOVER_DATA" in finding.words


def test_a_server_that_wants_a_login_is_sent_the_one_that_prefect_is_sent(monkeypatch):
    asked = []

    def answer(url, **options):
        asked.append(options["auth"])
        return httpx.Response(
            200 if options["auth"] else 401, json=version("prefect"), request=httpx.Request("GET", url)
        )

    monkeypatch.setattr(doctor, "is_healthy", lambda _: True)
    monkeypatch.setattr(httpx, "get", answer)
    monkeypatch.setenv("PREFECT_API_URL", "http://prefect.example/api")
    assert states(server()) == {"server": "wrong"}
    monkeypatch.setenv("PREFECT_API_AUTH_STRING", "me:planted:too")
    (finding,) = server()
    assert (finding.state, asked) == ("well", [None, ("me", "planted:too")])
    assert "planted" not in finding.words


def test_the_query_of_a_stores_address_is_not_shown_since_it_may_be_a_password(tmp_path, monkeypatch):
    monkeypatch.setenv("PGCONNECT_TIMEOUT", "5")  # so that what doctor sets ends with the test
    monkeypatch.setenv("SPILLOVER_STORE", f"sqlite:///{tmp_path / 'answers.db'}?timeout=7")
    (finding,) = store()
    assert finding.words == f"can be read: sqlite:///{tmp_path / 'answers.db'}"


def test_a_store_that_can_be_read_is_named(data):
    Store().close()
    (finding,) = store()
    assert finding.words.startswith(f"can be read: sqlite:///{data / 'store' / 'answers.db'}, ")
