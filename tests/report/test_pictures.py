import signal
from subprocess import PIPE, Popen
from typing import IO, cast

from tasks.report import pictures

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><text y="9">a</text></svg>'


def test_the_process_that_makes_pictures_answers_one_after_the_other_and_ctrl_c_ends_only_who_asks():
    request = b"%d\n" % len(SVG) + SVG
    with Popen(pictures.START, stdin=PIPE, stdout=PIPE) as process:
        wanted, made = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        for _ in range(2):
            wanted.write(request)
            wanted.flush()
            png, pdf = (made.read(int(size)) for size in made.readline().split())
            assert (png[:4], pdf[:5]) == (b"\x89PNG", b"%PDF-")
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0
