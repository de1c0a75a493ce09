import subprocess
import sys

from tests.conftest import PROJECT

HEAVY = {
    "prefect",
    "torch",
    "transformers",
    "polars",
    "altair",
    "anthropic",
    "sqlalchemy",
    "tinker",
    "peft",
    "scipy",
    "httpx",
}


def test_help_imports_nothing_heavy():
    """Why `spillover --help` answers at once; its time is in the README."""
    code = """
import sys
from flows.__main__ import app
try:
    app(['--help'])
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stderr.split())
    for command in ("run", "check", "list", "report", "server"):
        assert f"  {command} " in done.stdout
