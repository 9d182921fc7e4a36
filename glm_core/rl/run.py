"""A whole run: measure, improve, write, measure again. What was done before a cut is not done again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..checkpoint.write import write_json
from ..errors import GLMImageError
from ..files import read_json

STATES = "training"  # folder in OUT for states, logs and what a run was started with
SETTINGS, BEFORE, REPORT = "settings.json", "before.json", "report.json"


@dataclass(frozen=True)
class RunFolder:
    """Where a run keeps what it needs to go on after a cut."""

    out: Path

    @property
    def states(self) -> Path:
        return self.out / STATES

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Keep the settings of a new run. Raises GLMImageError, naming the first, if a run had others."""
        path = self.states / SETTINGS
        if not path.exists():
            write_json(path, settings)
            return
        kept = read_json(path)
        for name, value in settings.items():
            if kept.get(name) != value:
                raise GLMImageError(f"{self.out}: to go on with the run in it, {name} must be {kept.get(name)!r} "
                                    f"(got {value!r}); choose another folder for a new run")

    def once(self, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The JSON object in a file, which is made if it is not there."""
        path = self.states / name
        if not path.exists():
            write_json(path, make())
        return read_json(path)
