"""Rows of figures: what they are, how they are printed, and how they are stored."""

import importlib.metadata
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import torch

from glm_core.pipeline import Compute

WIDTHS = 52, 9, 9, 10, 5, 13
Note = Callable[[str], None]  # takes a remark, which is printed below the table


@dataclass(frozen=True)
class Measure:
    """ours, upstream: figures in ``unit``.

    target: what the ratio, ours ÷ upstream, must reach, or must not exceed where less is better.
    """

    what: str
    ours: float
    upstream: float
    unit: str
    more_is_better: bool = True
    target: float | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.upstream

    @property
    def met(self) -> bool | None:
        if self.target is None:
            return None
        return self.ratio >= self.target if self.more_is_better else self.ratio <= self.target

    def cells(self, with_target: bool) -> list[str]:
        """A row of the table."""
        target = ""
        if with_target and self.target:
            sign = "≥" if self.more_is_better else "≤"
            target = f"{sign} {self.target:.2f} {'met' if self.met else 'missed'}"
        return [self.what, f"{self.ours:.4g}", f"{self.upstream:.4g}", self.unit, f"{self.ratio:.2f}", target]

    def as_json(self, with_target: bool) -> dict:
        row = {"what": self.what, "ours": self.ours, "upstream": self.upstream, "unit": self.unit, "ratio": self.ratio}
        if with_target and self.target:
            row |= {"target": self.target, "met": self.met}
        return row


def line(cells: Iterable[str], widths: Iterable[int] = WIDTHS) -> str:
    """A row of a Markdown table whose columns also stand in line; the first is flush left."""
    first, *others = zip(cells, widths)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"


def heading(titles: Iterable[str], widths: Iterable[int] = WIDTHS) -> str:
    rules = ("-" * width for width in widths)
    return f"\n{line(titles, widths)}\n{line(rules, widths)}"


def processor() -> str:
    """Threads, cores, and the processor's name."""
    info = Path("/proc/cpuinfo")
    rows = info.read_text().splitlines() if info.exists() else []
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    names = names or [platform.processor()]
    return f"{torch.get_num_threads()} threads on {len(names)} cores, {names[0]}"


def version(package: str) -> str:
    """Of an installed package; without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def machine(compute: Compute) -> dict:
    """Hardware, versions and date."""
    return {
        "hardware": processor() if compute.device.type == "cpu" else torch.cuda.get_device_name(compute.device),
        "dtype": str(compute.dtype).removeprefix("torch."),
        "python": platform.python_version(), "torch": torch.__version__,
        "transformers": version("transformers"), "diffusers": version("diffusers"), "date": date.today().isoformat(),
    }
