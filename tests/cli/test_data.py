import subprocess
import sys

import pytest

from tests.conftest import PROJECT


@pytest.mark.parametrize("command", [["data", "lint", "lighthouses_neutral"], ["list"]])
def test_lint_and_list_wait_for_no_library_that_they_do_not_need(command):
    code = (
        "import sys; from flows.__main__ import app; "
        f"app({command!r}, standalone_mode=False); "
        "print([m for m in ('prefect', 'altair', 'scipy', 'polars', 'torch', 'sqlalchemy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
