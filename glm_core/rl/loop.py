"""The training loop of planner and decoder: collect samples with rewards, update the weights, average, save, log."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import GLMImageError
from ..training.loop import resume, save
from .settings import RLSettings

Batch = TypeVar("Batch")


class Learner(Protocol[Batch]):
    """What is trained, and on what. trained: the module whose parameters change: a model, or LoRAs hooked to one."""

    trained: nn.Module

    def collect(self, rng: random.Random, first: int, average: AveragedModel) -> tuple[Batch, dict[str, float]]:
        """Samples with their rewards, and figures for the log, to which the losses may add.

        first: number of tasks drawn before.
        """
        ...

    def losses(self, batch: Batch, rng: random.Random) -> Iterator[Tensor]:
        """The loss in parts, whose gradients are added up."""
        ...


@dataclass(frozen=True)
class Adam:
    """AdamW for all parameters of a module, in the form that ``save`` and ``resume`` expect."""

    adam: torch.optim.AdamW

    @classmethod
    def of(cls, module: nn.Module, settings: RLSettings) -> Adam:
        return cls(torch.optim.AdamW(module.parameters(), settings.learning_rate, weight_decay=0.0))

    def parameters(self) -> list[tuple[torch.optim.Optimizer, Tensor]]:
        return [(self.adam, parameter) for parameter in self.adam.param_groups[0]["params"]]


@contextmanager
def weights_of(module: nn.Module, other: nn.Module) -> Iterator[None]:
    """Inside, the parameters of ``module`` have the values of ``other``, a copy of it at another time."""
    own = [parameter.data for parameter in module.parameters()]
    for parameter, value in zip(module.parameters(), other.parameters(), strict=True):
        parameter.data = value.data
    try:
        yield
    finally:
        for parameter, value in zip(module.parameters(), own):
            parameter.data = value


def run_loop(name: str, learner: Learner[Batch], settings: RLSettings, folder: Path,
             on_update: Callable[[int, dict[str, float]], object] = lambda i, figures: None) -> nn.Module:
    """Train ``learner.trained``, which has the averaged weights at the end.

    folder: for the state and the log, ``name``.jsonl; an interrupted run resumes from the last saved update, and ends
    with the same weights. on_update: called with each update's number and figures.
    Raises GLMImageError if the run has had more updates than the settings say, and as ``resume`` and ``update`` do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_file, module = folder / f"{name}.state.safetensors", learner.trained
    optimizer = Adam.of(module, settings)
    average = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(settings.average))
    average.update_parameters(module)  # starts from the initial weights, not from those after the first update
    done, started = resume(state_file, average, optimizer), time.monotonic()
    if done > settings.updates:
        raise GLMImageError(f"--updates must be at least {done} to resume the run in {folder} (got {settings.updates})")
    drop_later_lines(folder / f"{name}.jsonl", done)
    while done < settings.updates:
        rng = random.Random(f"{name}-{settings.seed}-{done}")
        torch.manual_seed(rng.getrandbits(63))
        batch, figures = learner.collect(rng, done // settings.reuse * settings.prompts, average)
        for _ in range(settings.reuse):
            figures["gradient"] = update(learner, batch, rng, optimizer)
            average.update_parameters(module)
        done += settings.reuse
        log(folder / f"{name}.jsonl", {"step": done, **figures, "seconds": round(time.monotonic() - started, 1)})
        on_update(done, figures)
        if done % settings.save_every < settings.reuse or done >= settings.updates:
            save(state_file, done, average, optimizer)
    with torch.no_grad():
        module.load_state_dict(average.module.state_dict())
    return module


def update(learner: Learner[Batch], batch: Batch, rng: random.Random, optimizer: Adam) -> float:
    """Update the weights once. Returns the norm of the gradient.

    Raises GLMImageError, and updates nothing, if that is not finite.
    """
    optimizer.adam.zero_grad()
    for loss in learner.losses(batch, rng):
        loss.backward()
    norm = nn.utils.clip_grad_norm_(learner.trained.parameters(), 1.0)
    if not norm.isfinite():
        raise GLMImageError(f"the gradient must be finite (got {float(norm)}): the model may give NaN, or "
                            "--learning-rate be too high; the last saved state is from before")
    optimizer.adam.step()
    return float(norm)


def drop_later_lines(path: Path, done: int) -> None:
    """Keep of a log the lines of the first ``done`` updates: those after the saved state are done again."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []:
        if not line.endswith("\n") or json.loads(line)["step"] > done:  # the last may have been cut off
            break
        kept.append(line)
    path.write_text("".join(kept), encoding="utf-8", newline="\n")


def log(path: Path, values: dict[str, Any]) -> None:
    """Append a line of JSON."""
    rounded = {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(rounded) + "\n")
