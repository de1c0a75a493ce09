"""A server of Hugging Face's API on loopback, as far as finding and fetching a model goes."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def serve_hub(models: dict[str, Path], gated: set[str]) -> Iterator[tuple[str, list[str]]]:
    """The server's address, and the paths that were requested."""
    requested: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(with_body=True)

        def do_HEAD(self) -> None:
            self.answer(with_body=False)

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, with_body: bool) -> None:
            parts = self.path.split("?")[0].strip("/").split("/")
            is_api = parts[:2] == ["api", "models"]
            name = "/".join(parts[2:4] if is_api else parts[:2])
            requested.append(self.path) if with_body else None
            if name in gated and (not is_api or "tree" in parts):
                self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"}, with_body)
            elif name in gated:
                self.info(name, ["config.json", "model.safetensors"], with_body)
            elif name not in models:
                self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)
            elif is_api and "tree" in parts:
                self.tree(models[name], with_body)
            elif is_api:
                self.info(name, [file.name for file in models[name].iterdir()], with_body)
            else:
                self.file(models[name] / parts[-1], with_body)

        def info(self, name: str, files: list[str], with_body: bool) -> None:
            body = {"id": name, "modelId": name, "sha": COMMIT, "siblings": [{"rfilename": file} for file in files]}
            self.reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"}, with_body)

        def tree(self, folder: Path, with_body: bool) -> None:
            body = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": file.name}
                for file in folder.iterdir()
            ]
            self.reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"}, with_body)

        def file(self, file: Path, with_body: bool) -> None:
            if not file.is_file():
                self.reply(404, b"", {"X-Error-Code": "EntryNotFound"}, with_body)
                return
            content = file.read_bytes()
            tag = hashlib.sha256(content).hexdigest()
            self.reply(200, content, {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT}, with_body)

        def reply(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requested
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
