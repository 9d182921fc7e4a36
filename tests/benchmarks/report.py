"""Rows of figures: what they are, how they are printed, and how they are kept."""

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import diffusers
import torch
import transformers

from glm_core.pipeline import Place

WIDTHS = 52, 9, 9, 10, 5, 13


@dataclass(frozen=True)
class Measure:
    """ours and reference in ``unit``. target: what the ratio, ours ÷ reference, is to reach, or to stay below if less is better."""

    what: str
    ours: float
    reference: float
    unit: str
    more_is_better: bool = True
    target: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.reference

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio >= self.target if self.more_is_better else self.ratio <= self.target

    def cells(self, judged: bool) -> list[str]:
        sign = "≥" if self.more_is_better else "≤"
        target = f"{sign} {self.target:.2f} {'met' if self.met else 'missed'}" if judged and self.target else ""
        return [self.what, f"{self.ours:.4g}", f"{self.reference:.4g}", self.unit, f"{self.ratio:.2f}", target]

    def as_json(self, judged: bool) -> dict:
        row = {"what": self.what, "ours": self.ours, "reference": self.reference, "unit": self.unit, "ratio": self.ratio}
        return row | ({"target": self.target, "met": self.met} if judged and self.target else {})


def line(cells: Iterable[str], widths: Iterable[int] = WIDTHS) -> str:
    """A row of a Markdown table whose columns also stand in line; the first is flush left."""
    first, *others = (cell.ljust(width) if i == 0 else cell.rjust(width) for i, (cell, width) in enumerate(zip(cells, widths)))
    return f"| {' | '.join([first, *others])} |"


def heading(titles: Iterable[str], widths: Iterable[int] = WIDTHS) -> str:
    rules = ("-" * width for width in widths)
    return f"\n{line(titles, widths)}\n{line(rules, widths)}"


def processor() -> str:
    info = Path("/proc/cpuinfo")
    rows = info.read_text().splitlines() if info.exists() else []
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")] or [platform.processor()]
    return f"{torch.get_num_threads()} threads on {len(names)} cores, {names[0]}"


def machine(place: Place) -> dict:
    """Hardware, versions and date."""
    return {
        "hardware": processor() if place.device.type == "cpu" else torch.cuda.get_device_name(place.device),
        "dtype": str(place.dtype).removeprefix("torch."),
        "python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__,
        "diffusers": diffusers.__version__, "date": date.today().isoformat(),
    }


def write_json(path: Path, results: dict) -> None:
    path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
