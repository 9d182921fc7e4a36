"""A server on this machine that answers as a chat completions server does."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Reply = Callable[[dict], Any]  # request → what is sent as JSON, bytes as they are, or the number of an HTTP error


@dataclass
class ServedJudge:
    """url: what --judge takes. requests: the bodies of the questions so far."""

    url: str
    requests: list[dict] = field(default_factory=list)


def completion(text: str, model: str = "a-served-model") -> dict:
    return {"model": model, "choices": [{"message": {"role": "assistant", "content": text}}]}


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, *args: Any) -> None:
        """A client that no longer waits is no error."""


@contextmanager
def serve_judge(reply: Reply, models: tuple[str, ...] = ("a-served-model",)) -> Iterator[ServedJudge]:
    """A judge whose answer to a request's body is ``reply(body)``."""
    judge = ServedJudge("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer({"data": [{"id": model} for model in models]} if self.path == "/v1/models" else 404)

        def do_POST(self):
            judge.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer(reply(judge.requests[-1]) if self.path == "/v1/chat/completions" else 404)

        def answer(self, value: Any) -> None:
            status = value if isinstance(value, int) else 200
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "/v1/models")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            pass

    server = QuietServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    judge.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield judge
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
