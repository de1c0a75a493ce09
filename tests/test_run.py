import errno

import pytest

from flows.run import is_disk_full


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (RuntimeError("(sqlite3.OperationalError) database or disk is full"), True),
        (FileNotFoundError(errno.ENOENT, "No such file"), False),
        (ValueError("28"), False),
    ],
)
def test_a_full_disk_is_known_however_a_library_says_it(error, full):
    assert is_disk_full(error) is full
