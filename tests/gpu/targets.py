"""What a GPU has to reach, and the figures that say whether it does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.sizes import SIZES

MET, MISSED, NOT_MEASURED = "met", "missed", "not measured"


class Found:
    """Figures of a run's results, by part and name. Raises KeyError for what was not measured."""

    def __init__(self, results: dict[str, Any]):
        self.parts, size = results["parts"], SIZES[results["about"]["size"]]
        self.step_side, self.step_layers, _ = size.dit_steps[1]
        self.layers, (self.side, self.steps, _) = size.models.dit_layers, size.image

    def figure(self, part: str, what: str) -> float:
        return self.row(part, "figures", what)["value"]

    def row(self, part: str, kind: str, what: str) -> dict[str, Any]:
        for row in self.parts.get(part, {}).get(kind, ()):
            if row["what"] == what:
                return row
        raise KeyError(f"{part}: {what}")

    def image(self) -> dict[str, Any]:
        return self.row("image", "measures", f"whole picture {self.side}², {self.steps} guided steps")

    def matrix_share(self) -> float:
        name = f"DiT step {self.step_side}², {self.step_layers} of {self.layers} layers: share of matrix rate"
        return self.row("dit", "measures", name)["ours"]

    def speed_up_in_int8(self) -> float:
        name = f"whole picture {self.side}², {self.steps} guided steps"
        return 60 / self.figure("comfyui-image-int8", name) / self.image()["upstream"]

    def int8_gain(self) -> float:
        what = "default, batch 1: tokens a second"
        return self.figure("comfyui-tokens-int8", what) / self.figure("comfyui-tokens", what)

    def batch_cost(self, part: str, way: str) -> float:
        four, one = (self.figure(part, f"{way}, batch {batch}: time of a token") for batch in (4, 1))
        return four / one


@dataclass(frozen=True)
class Target:
    """what: for the table. limit: the figure must be at least this, or at most this where ``at_most``."""

    what: str
    limit: float
    unit: str
    find: Callable[[Found], float]
    at_most: bool = False

    def judge(self, found: Found) -> dict[str, Any]:
        judged = {"what": self.what, "target": f"{'≤' if self.at_most else '≥'} {self.limit:g} {self.unit}"}
        try:
            value = self.find(found)
        except KeyError as missing:
            return judged | {"verdict": NOT_MEASURED, "why": missing.args[0]}
        is_met = value <= self.limit if self.at_most else value >= self.limit
        return judged | {"verdict": MET if is_met else MISSED, "value": value}


TARGETS = (
    Target("planner in ComfyUI, bf16, batch 1, 1.5k tokens: share of memory roofline", 70, "%",
           lambda found: found.figure("comfyui-tokens", "default, batch 1: share of memory roofline")),
    Target("the same on the command line", 70, "%",
           lambda found: found.figure("tokens", "recorded, batch 1: share of memory roofline")),
    Target("planner in ComfyUI, int8 ÷ bf16, tokens a second", 1.4, "times", Found.int8_gain),
    Target("planner in ComfyUI, a token of batch 4 ÷ of batch 1", 1.25, "times",
           lambda found: found.batch_cost("comfyui-tokens", "default"), at_most=True),
    Target("the same on the command line", 1.25, "times", lambda found: found.batch_cost("tokens", "recorded"),
           at_most=True),
    Target("DiT step 1024²: share of matrix rate", 60, "%", Found.matrix_share),
    Target("whole picture 1024², 50 steps, bf16 ÷ transformers + diffusers", 3, "times",
           lambda found: found.image()["ratio"]),
    Target("whole picture 1024², 50 steps, in ComfyUI in int8 ÷ transformers + diffusers", 4.5, "times",
           Found.speed_up_in_int8),
    Target("peak memory, whole picture 1024², bf16", 20, "GB", at_most=True,
           find=lambda found: found.row("memory", "measures", f"peak memory, whole picture {found.side}²")["ours"]),
    Target("peak memory of a stage, whole picture 1024², int8", 12, "GB", at_most=True,
           find=lambda found: found.figure("comfyui-memory-int8", "peak memory, largest stage")),
)


def judge_all(results: dict[str, Any]) -> list[dict[str, Any]]:
    """The targets are those of the released size: at another, all are found but not judged."""
    judged = [target.judge(Found(results)) for target in TARGETS]
    if results["about"]["size"] == "full":
        return judged
    return [entry | {"verdict": NOT_MEASURED, "why": "not the released size"} for entry in judged]
