"""One part after another, each in a process of its own and within its time; all results as they come."""

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.hosts import PACK
from tests.support.json_files import write_json

from .parts import Part, Setting

DONE, FAILED, CUT, SKIPPED, WAITING = "done", "failed", "cut", "skipped", "not run"
LEAST_SECONDS = 15  # no part begins with less time left
KILL_SECONDS = 5  # after SIGTERM
LOG_LINES = 40


class Stopped(BaseException):
    """This process was told to end."""


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGINT raise Stopped, so that what is there can be written."""
    def stop(number: int, frame: object) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_group(process: subprocess.Popen) -> None:
    """End a process and its children."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(KILL_SECONDS)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def run_command(command: Sequence[str], environment: dict[str, str], log: Path, seconds: float) -> tuple[str, str]:
    """Status and reason. Raises Stopped, with the command ended, if this process is told to end."""
    with log.open("w", encoding="utf-8") as sink:
        process = subprocess.Popen(command, cwd=PACK, env=environment, stdout=sink, stderr=subprocess.STDOUT,
                                   start_new_session=True)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return CUT, f"took longer than {seconds:.0f} s"
        finally:
            end_group(process)
    return (DONE, "") if code == 0 else (FAILED, f"exit status {code}")


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


class Run:
    """All results of an output folder: results.json, and for each part NAME.json and NAME.log.

    Parts that are done already in the folder, at the same size and on the same kind of device, are kept.
    """

    def __init__(self, out: Path, setting: Setting, parts: Sequence[Part], minutes: float):
        self.out, self.setting, self.end = out, setting, time.monotonic() + 60 * minutes
        about = {"device": setting.device, "size": setting.size}
        before = read_json(out / "results.json")
        kept = before.get("parts", {}) if before.get("about") == about else {}
        self.results = {"about": about, "parts": {
            part.name: kept.get(part.name, {"title": part.title, "status": WAITING}) for part in parts}}
        self.save()

    def save(self) -> None:
        write_json(self.out / "results.json", self.results)

    def is_done(self, part: Part) -> bool:
        return self.results["parts"][part.name]["status"] == DONE

    def run(self, part: Part) -> None:
        """Raises Stopped, with what the part wrote kept, if this process is told to end."""
        left = self.end - time.monotonic()
        if reason := part.missing(self.setting):
            return self.note(part, SKIPPED, reason)
        if left < LEAST_SECONDS:
            return self.note(part, WAITING, "no time was left")
        path, start = self.out / f"{part.name}.json", time.monotonic()
        path.unlink(missing_ok=True)
        command, environment = part.run_options(self.setting, path)
        status, reason = CUT, "the run was stopped"
        try:
            with tempfile.TemporaryDirectory() as scratch:  # files of many GB, of a part that may be ended
                status, reason = run_command(command, environment | {"TMPDIR": scratch}, self.log(part),
                                             min(left, part.seconds))
        finally:
            self.note(part, status, reason, seconds=round(time.monotonic() - start, 1), **read_json(path))
        return None

    def log(self, part: Part) -> Path:
        return self.out / f"{part.name}.log"

    def note(self, part: Part, status: str, reason: str, **more: Any) -> None:
        entry = {"title": part.title, "status": status, "why": reason, **more}
        if status in (FAILED, CUT) and self.log(part).exists():
            entry["log"] = self.log(part).read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        self.results["parts"][part.name] = entry
        self.save()
        print(f"{part.name}: {status} {f'({reason})' if reason else ''}", flush=True)

    @property
    def has_failed(self) -> bool:
        """Whether a part failed or was cut."""
        return any(entry["status"] in (FAILED, CUT) for entry in self.results["parts"].values())
