"""A Tinker server that ignores the seed of a LoRA: a real one, behind a proxy that always asks it for the same seed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

OF_THE_CONNECTION = {"host", "content-length", "content-encoding", "transfer-encoding", "connection"}


@contextmanager
def ignoring_seeds(server: str) -> Iterator[str]:
    """The address of the proxy in front of this server, until the end of the block."""

    class Pass(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.path.endswith("/create_model"):
                fields = json.loads(body)
                body = json.dumps(fields | {"lora_config": fields["lora_config"] | {"seed": 7}}).encode()
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in {"host", "content-length"}
            }
            answer = httpx.request(self.command, f"{server}{self.path}", headers=headers, content=body, timeout=120)
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in OF_THE_CONNECTION:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def do_POST(self) -> None:
            self.do_GET()

        def do_DELETE(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Pass) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()
