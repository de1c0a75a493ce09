"""Starts a server of the Tinker API on this machine: SkyRL, and the adapter in front of it.

uv run --directory deployments/tinker_server start.py --base-model PATH_OR_NAME --port 8000
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx
import uvicorn
from adapter import application

HERE = Path(__file__).parent
STARTS_WITHIN = 300.0
"""Seconds; the engine compiles before it answers."""


def main() -> None:
    """Serves until Ctrl-C, SIGTERM or a closed terminal, and then ends SkyRL too."""
    parser = argparse.ArgumentParser(description="A Tinker server of one's own.")
    parser.add_argument("--base-model", required=True, help="a folder, or a name of Hugging Face")
    parser.add_argument("--port", type=int, default=8000, help="where the SDK finds it; SkyRL takes the next one")
    parser.add_argument("--data", type=Path, default=HERE / "data", help="its checkpoints and database")
    parser.add_argument("--rank", type=int, default=64, help="the highest rank of a LoRA")
    parser.add_argument("--adapters", type=int, default=32, help="how many LoRAs it holds at once")
    parser.add_argument("--backend", default="jax", choices=["jax", "fsdp", "megatron"], help="SkyRL's backend")
    parser.add_argument("--backend-config", type=json.loads, default={}, help="more of its settings, as JSON")
    given = parser.parse_args()
    refuse_a_port_in_use(given.port + 1)
    end_by_signals()
    given.data.mkdir(parents=True, exist_ok=True)
    # What JAX compiled is kept, so that a server that is started again answers at once.
    environment = {"JAX_COMPILATION_CACHE_DIR": str(given.data.resolve() / "compiled"), **os.environ}
    server = subprocess.Popen(skyrl(given), cwd=HERE, env=environment, start_new_session=True)
    try:
        wait_for(f"http://127.0.0.1:{given.port + 1}", server)
        print(f"Tinker server of {given.base_model} at http://127.0.0.1:{given.port}", flush=True)
        uvicorn.run(application(f"http://127.0.0.1:{given.port + 1}"), port=given.port, log_level="warning")
    finally:
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=30)


def skyrl(given: argparse.Namespace) -> list[str]:
    """The command that starts SkyRL, on the port after the given one."""
    settings = given.backend_config
    if given.backend == "jax":
        settings = {
            "max_lora_adapters": given.adapters,
            "max_lora_rank": given.rank,
            "tensor_parallel_size": 1,
            "train_micro_batch_size": 4,
            "sample_max_num_sequences": 64,
        } | settings
    data = given.data.resolve()
    return [
        *("uv", "run", "--extra", "tinker", "--extra", "jax", "-m", "skyrl.tinker.api"),
        *("--base-model", given.base_model, "--backend", given.backend, "--backend-config", json.dumps(settings)),
        *("--checkpoints-base", str(data / "checkpoints"), "--database-url", f"sqlite:///{data / 'tinker.db'}"),
        *("--session-timeout-sec", "-1", "--host", "127.0.0.1", "--port", str(given.port + 1)),
    ]


def refuse_a_port_in_use(port: int) -> None:
    """Raises SystemExit where something answers at SkyRL's port: it would be taken for the server that is started."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2):
        raise SystemExit(
            f"port {port} is in use, as by a SkyRL whose start.py was killed; end that, or give another --port"
        )


def end_by_signals() -> None:
    """Has SIGTERM and SIGHUP end this program as an error does: by default they would leave SkyRL running."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` has it
            signal.signal(number, _end)


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    """Until the server answers; raises SystemExit where it ends, or does not answer within STARTS_WITHIN seconds."""
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        if server.poll() is not None:
            raise SystemExit(f"the server ended with {server.returncode} before it answered; its output is above")
        try:
            if httpx.get(f"{url}/api/v1/healthz", timeout=2).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.5)
    raise SystemExit(f"the server did not answer within {STARTS_WITHIN:.0f} seconds")


if __name__ == "__main__":
    main()
