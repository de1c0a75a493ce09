import json
import signal
from subprocess import PIPE, Popen
from typing import IO, cast

from tasks.report import pictures
from tasks.report.rendering import VEGA_LITE

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="20" height="10"><text y="9">a</text></svg>'


def test_the_process_that_makes_pictures_answers_one_after_the_other_and_ctrl_c_ends_only_who_asks():
    request = b"%d\n" % len(SVG) + SVG
    with Popen(pictures.PRINTING, stdin=PIPE, stdout=PIPE) as process:
        wanted, made = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
        for _ in range(2):
            wanted.write(request)
            wanted.flush()
            png, pdf = (made.read(int(size)) for size in made.readline().split())
            assert (png[:4], pdf[:5]) == (b"\x89PNG", b"%PDF-")
            process.send_signal(signal.SIGINT)
    assert process.returncode == 0


def test_a_chart_that_is_drawn_beside_is_the_one_that_is_drawn_here():
    data = {"values": [{"a": 1.5, "b": None}, {"a": 2, "b": "é"}]}
    encoding = {"x": {"field": "a", "type": "quantitative"}, "y": {"field": "b", "type": "nominal"}}
    spec = {"mark": "bar", "data": data, "encoding": encoding}
    request = json.dumps((spec, VEGA_LITE)).encode()
    with Popen(pictures.DRAWING, stdin=PIPE, stdout=PIPE) as process:
        made, _ = process.communicate(b"%d\n" % len(request) + request)
    size, _, svg = made.partition(b"\n")
    assert int(size) == len(svg)
    assert svg.decode() == pictures.to_svg(spec, VEGA_LITE)
    assert "é" in svg.decode()
