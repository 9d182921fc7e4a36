"""The decoder learns from several pictures of each plan, which differ by their noise, what made some of them better.

How it learns is a method: Flow-GRPO (flow_grpo.py) or DiffusionNFT (nft.py). Only the diffusion transformer changes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..decoder import Velocity, check_plans, draw_noise, plan_velocity, resolution_shift
from ..errors import GLMImageError
from ..geometry import latent_shape
from ..pipeline import encode_glyphs
from ..plans import Plan
from .advantages import advantages
from .flow_grpo import Velocities
from .loop import weights_of
from .pictures import Painter
from .rewards import Sample, WeightedReward
from .settings import RLSettings
from .tasks import RLTask, TaskSource


class Method(Protocol):
    """How the decoder learns.

    kl: weight of the divergence from the starting weights. averaged: whether samples are drawn with the averaged
    weights. guided: whether the guided velocity is learned.
    """

    @property
    def kl(self) -> float: ...

    averaged: ClassVar[bool]
    guided: ClassVar[bool]

    def check_steps(self, steps: int) -> None:
        """Raise GLMImageError unless the method can learn from pictures of so many steps."""
        ...

    def sample(self, velocities: Velocities, noise: Tensor, steps: int, shift: float,
               rng: random.Random) -> tuple[Tensor, Sequence[Any]]:
        """Latents drawn from ``noise`` [B, 16, h, w], and points to learn at: noisy latents x at noise levels sigma."""
        ...

    def loss(self, point: Any, velocity: Tensor, advantages: Tensor) -> tuple[Tensor, dict[str, float]]:
        """At a point of which the weights now say ``velocity``; and figures for the log. advantages: [B]."""
        ...


@dataclass(frozen=True)
class Drawn:
    """Samples of a task. texts: glyph embeddings [1, n, width]. latents: [G, 16, h, w]. points: as in ``Method``."""

    task: RLTask
    texts: Tensor
    latents: Tensor
    points: Sequence[Any]


@dataclass(frozen=True)
class PictureBatch:
    """Samples of several tasks with their advantages [G]. figures: for the log, to which the losses add theirs."""

    groups: list[tuple[Drawn, Tensor]]
    figures: dict[str, float]


class DecoderLearner:
    """A Learner, see loop.py. trained: the painter's transformer, or its LoRAs.

    Raises GLMImageError if the method cannot learn from pictures of the painter's number of steps.
    """

    def __init__(self, painter: Painter, trained: nn.Module, source: TaskSource, rewards: Sequence[WeightedReward],
                 settings: RLSettings, method: Method):
        method.check_steps(painter.steps)
        self.painter, self.trained, self.source = painter, trained, source
        self.rewards, self.settings, self.method = rewards, settings, method
        self.start = deepcopy(trained) if method.kl else None
        with torch.no_grad():
            self.no_texts = encode_glyphs(painter.glyph, "", painter.compute)

    @torch.no_grad()
    def collect(self, rng: random.Random, first: int, average: AveragedModel) -> tuple[PictureBatch, dict[str, float]]:
        tasks = self.source.draw(rng, self.settings.prompts, first)
        with weights_of(self.trained, average) if self.method.averaged else nullcontext():
            drawn = [self.draw(task, rng) for task in tasks]
        found = advantages([self.samples(entry) for entry in drawn], self.rewards)
        groups = [(entry, found.samples[i]) for i, entry in enumerate(drawn) if found.samples[i].any()]
        batch = PictureBatch(groups, {**found.means, "groups": len(groups)})
        return batch, batch.figures

    def draw(self, task: RLTask, rng: random.Random) -> Drawn:
        plan = self.plan(task)
        noise = draw_noise(rng.getrandbits(63), self.settings.group, plan.width, plan.height)
        texts = encode_glyphs(self.painter.glyph, task.prompt, self.painter.compute)
        latents, points = self.method.sample(self.velocities(plan, texts), noise.to(self.painter.compute.device),
                                             self.painter.steps, resolution_shift(plan.width, plan.height), rng)
        return Drawn(task, texts, latents, points)

    def plan(self, task: RLTask) -> Plan:
        """Raises GLMImageError unless the task has a plan that the decoder can draw, without reference images."""
        if task.plan is None or task.references:
            raise GLMImageError(f"a task of the decoder must have a plan and no reference images (got {task.prompt!r})")
        check_plans(self.painter.dit, task.plan, (), 1)
        return task.plan

    def velocities(self, plan: Plan, texts: Tensor) -> Velocities:
        drawing = self.velocity(plan, texts, self.painter.guidance)
        learned = drawing if self.method.guided else self.velocity(plan, texts, 1.0)
        return Velocities(drawing, learned, self.at_start(learned) if self.start else None)

    def velocity(self, plan: Plan, texts: Tensor, guidance: float) -> Velocity:
        """By the present weights whenever it is called."""
        rows, columns = latent_shape(1, plan.width, plan.height)[-2:]
        return plan_velocity(self.painter.dit, plan, texts, self.no_texts, (rows, columns), guidance=guidance,
                             device=self.painter.compute.device, dtype=self.painter.compute.dtype)

    def at_start(self, velocity: Velocity) -> Velocity:
        """The velocity by the starting weights."""
        start = self.start
        assert start is not None

        def by_starting_weights(x: Tensor, sigma: Tensor) -> Tensor:
            with weights_of(self.trained, start):
                return velocity(x, sigma)

        return by_starting_weights

    def samples(self, drawn: Drawn) -> list[Sample]:
        plan = self.plan(drawn.task)
        return [Sample(drawn.task, plan, picture) for picture in self.painter.show(drawn.latents)]

    def losses(self, batch: PictureBatch, rng: random.Random) -> Iterator[Tensor]:
        """Their mean over all points; the figures are those of the last time."""
        count = sum(len(drawn.points) for drawn, _ in batch.groups)
        sums: dict[str, float] = {}
        for drawn, own in batch.groups:
            learned = self.velocities(self.plan(drawn.task), drawn.texts).learned
            for point in drawn.points:
                loss, figures = self.method.loss(point, learned(point.x, point.sigma), own.to(point.x.device))
                sums |= {name: sums.get(name, 0.0) + value for name, value in figures.items()}
                yield loss / count
        batch.figures.update({name: total / count for name, total in sums.items()})
