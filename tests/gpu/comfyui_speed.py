"""Speed and memory inside ComfyUI at the released size, with files of random weights."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from glm_core.decoder import draw_noise
from glm_core.host import HostPlanner
from glm_core.pipeline import Compute
from glm_core.planner import Sampling, lay_out_prompt
from glm_core.planner.model import KVCache
from tests.benchmarks.sizes import SIZES, Models
from tests.benchmarks.timing import copy_bandwidth, now

from .comfyui_picture import Picture, watched
from .comfyui_planner import progress_hook, unload, without_recording
from .files import write_part
from .record import Record
from .tokens import BATCHES, LENGTHS, long_prompt, record_step

GUIDANCE = 1.5


def compute_of(device: torch.device) -> Compute:
    return Compute(device, torch.bfloat16 if device.type == "cuda" else torch.float32)


@dataclass
class Clock:
    """A hook of ComfyUI's progress bars: the moment of the first update, which follows the first token."""

    device: torch.device
    times: list[float] = field(default_factory=list)

    def __call__(self, *about: Any, **more: Any) -> None:
        if not self.times:
            self.times.append(now(self.device))


def models_of(size: str) -> Models:
    return replace(SIZES[size].models, coarse_tokens=SIZES[size].coarse_tokens)


class TimedPlanner:
    """The planner of a file, and a prompt about as long as ``LENGTHS`` has it."""

    def __init__(self, path: Path, size: str, device: torch.device):
        self.planner, self.device, self.length = HostPlanner(str(path)), device, LENGTHS[size]
        side = self.length.side
        text = long_prompt(self.length.prompt)[: self.length.prompt]
        self.prompt = text
        self.layout = lay_out_prompt(self.planner.tokenizer, self.planner.config, text, side, side)

    def token_seconds(self, batch: int) -> float:
        """Seconds of a token of every item, after a run that warms up."""
        for _ in range(2):
            clock = Clock(self.device)
            with progress_hook(clock):
                self.planner.plan(self.prompt, self.length.side, self.length.side, batch, 0, Sampling())
            end = now(self.device)
        return (end - clock.times[0]) / (self.layout.new_tokens - 1)

    def bytes_per_step(self, batch: int) -> float:
        """What a step has to read: the weights, and keys and values as they are in the middle of the run."""
        length = self.layout.length - self.layout.new_tokens // 2
        cache = KVCache.size_in_bytes(self.planner.config, batch, length, self.planner.precision.compute)
        return self.planner.patcher.model_size() + cache


def tokens(record: Record, device: torch.device, size: str, format_name: str | None) -> None:
    """As ``tests.gpu.tokens``: recorded, as ComfyUI does it by default, and one plan with --disable-cuda-graphs."""
    compute = compute_of(device)
    bandwidth = copy_bandwidth(SIZES[size], compute)
    record.figure("copy bandwidth", bandwidth / 1e9, "GB/s")
    with tempfile.TemporaryDirectory() as folder:
        path = write_part(Path(folder), PLANNER, models_of(size), compute, format_name)
        timed = TimedPlanner(path, size, device)
        for batch in BATCHES:
            time_batch(record, timed, batch, bandwidth, "default")
        del timed
        unload()
        with without_recording():
            time_batch(record, TimedPlanner(path, size, device), 1, bandwidth, "plain")


def time_batch(record: Record, timed: TimedPlanner, batch: int, bandwidth: float, way: str) -> None:
    step = timed.token_seconds(batch)
    record_step(record, f"{way}, batch {batch}", batch, step, timed.bytes_per_step(batch) / bandwidth)


@contextmanager
def random_picture(device: torch.device, size: str, format_name: str | None) -> Iterator[Picture]:
    compute = compute_of(device)
    with tempfile.TemporaryDirectory() as folder:
        yield Picture({part: write_part(Path(folder), part, models_of(size), compute, format_name)
                       for part in (PLANNER, GLYPH, DIFFUSION, VAE)})


def picture(record: Record, device: torch.device, size: str, format_name: str | None) -> None:
    """A whole picture: with one step, loading included, which warms up, then with all."""
    side, steps, _ = SIZES[size].image
    with random_picture(device, size, format_name) as drawn:
        for title, count in (("first picture, loading included", 1), ("whole picture", steps)):
            time_picture(record, drawn, f"{title} {side}², {count} guided steps", side, count, device)


def time_picture(record: Record, drawn: Picture, title: str, side: int, steps: int, device: torch.device) -> None:
    start = now(device)
    plan = drawn.plan(side, side)
    planned = now(device)
    latent = drawn.sample(plan, draw_noise(0, 1, side, side), steps, GUIDANCE)
    sampled = now(device)
    drawn.decode(latent)
    end = now(device)
    record.figure(title, end - start, "s")
    for stage, spent in (("plan", planned - start), ("sample", sampled - planned), ("decode", end - sampled)):
        record.figure(f"{title}: {stage}", spent, "s")


def memory(record: Record, device: torch.device, size: str, format_name: str | None) -> None:
    """Peaks of the stages of a picture, each with everything else unloaded, beside ComfyUI's estimates."""
    side, _, _ = SIZES[size].image
    with random_picture(device, size, format_name) as drawn:
        noise = draw_noise(0, 1, side, side)
        plan = drawn.plan(side, side)
        latent = drawn.sample(plan, noise, 1, GUIDANCE)
        stages: dict[str, Callable[[], object]] = {
            "plan": lambda: drawn.plan(side, side),
            "sample": lambda: drawn.sample(plan, noise, 2, GUIDANCE),
            "decode": lambda: drawn.decode(latent),
        }
        peaks = [record_stage(record, name, run) for name, run in stages.items()]
        record.figure("peak memory, largest stage", max(peaks), "GB")


def record_stage(record: Record, name: str, run: Callable[[], object]) -> float:
    """Peak in GB."""
    unload()
    with watched() as stage:
        run()
    record.figure(f"{name}: peak memory", stage.peak / 1e9, "GB")
    record.figure(f"{name}: beside the weights", stage.beside / 1e9, "GB")
    record.figure(f"{name}: ComfyUI's estimate of that", stage.estimate / 1e9, "GB")
    return stage.peak / 1e9
