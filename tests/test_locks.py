import asyncio
import subprocess
import sys
import time

import pytest

from tasks.catalog import UserError
from tasks.locks import alone, exclusive, exclusive_in_turn
from tasks.runs import Run

HOLDS = """
import sys, time
from tasks.runs import Run
with Run(sys.argv[1]).exclusive():
    print("held", flush=True)
    time.sleep(600)
"""


async def test_what_one_does_alone_another_waits_for():
    order = []

    async def work(name):
        async with exclusive("training-x"):
            order.append(f"{name} begins")
            await asyncio.sleep(0.2)
            order.append(f"{name} ends")

    await asyncio.gather(work("a"), work("b"))
    assert order in (["a begins", "a ends", "b begins", "b ends"], ["b begins", "b ends", "a begins", "a ends"])


async def test_work_in_threads_waits_its_turn():
    order = []

    def work(name):
        with exclusive_in_turn("training-x"):
            order.append(name)
            time.sleep(0.2)
            order.append(name)

    await asyncio.gather(*(asyncio.to_thread(work, name) for name in "ab"))
    assert order in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


async def test_different_work_goes_on_side_by_side():
    async with exclusive("training-x"):
        await asyncio.wait_for(_take("training-y"), 60)


async def _take(what):
    async with exclusive(what):
        pass


def test_a_run_that_another_process_writes_is_refused_until_that_one_is_gone(data):
    run = Run.at("standin", "one")
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(run.folder)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(UserError, match=r"run 'one' is being written by another process .*; wait until"),
            run.exclusive(),
        ):
            pass
    finally:
        other.kill()
        other.communicate()
    with run.exclusive():
        pass


def test_who_is_alone_has_nothing_beside_him_and_nothing_begins_meanwhile(data):
    run = Run.at("standin", "one")
    command = [sys.executable, "-c", HOLDS, str(run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="a run is going on"), alone("a run is going on"):
            pass
        held.kill()
    with alone("a run is going on"):
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.communicate(timeout=2)
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == "held\n"
    waiting.kill()
    waiting.communicate()
