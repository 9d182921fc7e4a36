"""Real ComfyUI servers with this pack attached, each in a process of its own."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websocket

from .hosts import PACK, host_python

SUPPORT_NODES = PACK / "tests" / "host" / "support_nodes"
MODEL_FOLDERS = "diffusion_models", "text_encoders", "vae", "loras", "diffusers"
START_SECONDS = 300
RUN_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def workflow_names() -> list[str]:
    """Names of the shipped workflows."""
    return sorted(path.stem for path in (PACK / "workflows" / "api").glob("*.json"))


def load_workflow(name: str) -> dict:
    """A shipped workflow in API form."""
    return json.loads((PACK / "workflows" / "api" / f"{name}.json").read_text(encoding="utf-8"))


class RunFailed(AssertionError):
    """A prompt that the server refused or could not finish. details: the server's answer."""

    def __init__(self, details: Any):
        super().__init__(json.dumps(details, indent=1)[:4000])
        self.details = details


@dataclass
class Server:
    """A running ComfyUI.

    output, inputs, models: its folders. log: what it printed. host: the ComfyUI folder. process_id: of its process.
    """

    url: str
    output: Path
    inputs: Path
    models: Path
    log: Path
    host: Path
    process_id: int

    def get(self, path: str) -> Any:
        """The JSON answer to a GET request."""
        with urllib.request.urlopen(f"{self.url}{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, data: Any = None) -> Any:
        """The JSON answer to a POST request, None if it is empty. Raises RunFailed if the server refuses it."""
        body = json.dumps(data or {}).encode()
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            raise RunFailed(json.loads(error.read())) from error
        return json.loads(text) if text else None

    @contextmanager
    def listen(self) -> Iterator[tuple[str, websocket.WebSocket]]:
        """A new client id and its websocket."""
        client = uuid.uuid4().hex
        address = f"{self.url.replace('http', 'ws')}/ws?clientId={client}"
        connection = websocket.create_connection(address, timeout=RUN_SECONDS)
        try:
            yield client, connection
        finally:
            connection.close()

    def run(self, prompt: dict, on_message: Callable[[Any], object] = lambda message: None, **extra) -> dict:
        """Queue an API prompt and wait for it; returns its outputs by node id.

        on_message: called with every message, parsed JSON or bytes. extra: of the prompt's extra_data.
        Raises RunFailed if the server refuses the prompt, cannot finish it, or is told to stop.
        """
        with self.listen() as (client, connection):
            request = {"prompt": prompt, "client_id": client, "extra_data": extra}
            prompt_id = self.post("/prompt", request)["prompt_id"]
            while True:
                received = connection.recv()
                message = received if isinstance(received, bytes) else json.loads(received)
                on_message(message)
                if isinstance(message, bytes):
                    continue
                if message["type"] in ("execution_error", "execution_interrupted"):
                    raise RunFailed(message["data"])
                if is_end(message, prompt_id):
                    return self.get(f"/history/{prompt_id}")[prompt_id]["outputs"]


def is_end(message: dict, prompt_id: str) -> bool:
    """Whether the message says that no node of this prompt is left to run."""
    data = message["data"]
    return message["type"] == "executing" and data["node"] is None and data["prompt_id"] == prompt_id


def write_paths(folder: Path, models: Path) -> Path:
    """Path of a new extra_model_paths.yaml that adds this pack, the tests' own nodes, and ``models``."""
    attached = folder / "custom_nodes"
    attached.mkdir()
    (attached / "glm-image-native").symlink_to(PACK, target_is_directory=True)
    (attached / "glm_test_support").symlink_to(SUPPORT_NODES, target_is_directory=True)
    lines = ["glm:", f"  base_path: {folder}", "  custom_nodes: custom_nodes"]
    lines += [f"  {kind}: {models / kind}" for kind in MODEL_FOLDERS]
    paths = folder / "extra_model_paths.yaml"
    paths.write_text("\n".join(lines) + "\n")
    return paths


def server_command(host: Path, port: int, paths: Path, folders: dict[str, Path]) -> list[str]:
    """The command that starts a server. folders: by the options --NAME-directory."""
    options = ["--cpu", "--port", str(port), "--disable-api-nodes", "--disable-auto-launch",
               "--extra-model-paths-config", str(paths), "--database-url", "sqlite:///:memory:"]
    for name, folder in folders.items():
        options += [f"--{name}-directory", str(folder)]
    return [host_python(host), "main.py", *options]


@contextmanager
def serve(host: Path, folder: Path, models: Path) -> Iterator[Server]:
    """Start a ComfyUI on the CPU, let it write only below ``folder``, and stop it afterwards."""
    folders = {name: folder / name for name in ("output", "temp", "user", "input")}
    for path in folders.values():
        path.mkdir()
    port, log = free_port(), folder / "server.log"
    command = server_command(host, port, write_paths(folder, models), folders)
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": "1",
                   "HF_HUB_CACHE": str(models / "hub")}
    environment.pop("PYTHONPATH", None)
    with log.open("w") as sink:
        process = subprocess.Popen(command, cwd=host, stdout=sink, stderr=subprocess.STDOUT, env=environment)
    server = Server(f"http://127.0.0.1:{port}", folders["output"], folders["input"], models, log, host, process.pid)
    try:
        wait_until_up(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_up(server: Server, process: subprocess.Popen) -> None:
    """Raise AssertionError, with the end of its log, if the server does not answer within START_SECONDS."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            server.get("/system_stats")
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"ComfyUI did not come up:\n{server.log.read_text()[-3000:]}")
