import os
import pty
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from flows.__main__ import app
from tests.conftest import PROJECT


def commands(group, path=()):
    """Every command and group, by the words that call it."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*path, name))


@pytest.mark.parametrize("path", list(commands(typer.main.get_command(app))), ids=" ".join)
def test_every_description_in_the_help_is_whole_at_80_columns(path):
    done = CliRunner().invoke(app, [*path, "--help"], terminal_width=80, env={"COLUMNS": "80"})
    described = done.output.partition("\n\n")[2]  # behind the usage, where dots say that there may be several
    assert described
    assert not [line for line in described.splitlines() if line.rstrip().endswith(("...", "…"))]
    assert max(map(len, done.output.splitlines())) <= 80


@pytest.mark.parametrize("columns", [80, 120])
def test_a_mistake_breaks_between_words_in_a_terminal_and_is_one_line_elsewhere(columns):
    command = [sys.executable, "-m", "flows", "judge", "no/such/run", "--failed", "--model", "a"]
    environment = {**os.environ, "COLUMNS": str(columns)}
    plain = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True).stderr
    assert plain.count("\n") == 1
    reading, writing = pty.openpty()
    subprocess.run(command, cwd=PROJECT, env=environment, stderr=writing, stdout=writing)
    os.close(writing)
    lines = os.read(reading, 10_000).decode().splitlines()
    os.close(reading)
    assert " ".join(lines) == plain.strip()
    assert max(map(len, lines)) <= columns
    assert (len(lines) > 1) == (len(plain.strip()) > columns)
