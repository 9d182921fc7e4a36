"""The example of a reward server, on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from threading import Thread
from typing import Any

EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "reward_server.py"


@contextmanager
def serve_example(answer=None) -> Iterator[str]:
    """URL of the example's server, which may answer something else to a request."""
    spec = spec_from_file_location("reward_server", EXAMPLE)
    assert spec and spec.loader
    example: Any = module_from_spec(spec)
    spec.loader.exec_module(example)
    example.answer = answer or example.answer
    server = HTTPServer(("127.0.0.1", 0), example.Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
