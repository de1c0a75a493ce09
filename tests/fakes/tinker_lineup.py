"""A Tinker server that says which models it has, and can do no more."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def serving(*models: str) -> Iterator[str]:
    """Its address, until the end of the block."""
    listed = [{"model_name": model, "max_context_length": 65536} for model in models]
    answers: dict[str, object] = {
        "/api/v1/healthz": {"status": "ok"},
        "/api/v1/client/config": {"pjwt_auth_enabled": False},
        "/api/v1/get_server_capabilities": {"supported_models": listed},
        "/api/v1/create_session": {"session_id": "s"},
        "/api/v1/session_heartbeat": {},
    }

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path, {"detail": f"no {self.path}"})).encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
