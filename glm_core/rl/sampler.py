"""Pictures to learn from: several of each plan, which differ by their noise, with what the method needs of each."""

from __future__ import annotations

import random
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from ..decoder import Velocity, check_plans, draw_noise, plan_velocity, resolution_shift
from ..errors import GLMImageError
from ..geometry import latent_shape
from ..pipeline import encode_glyphs
from ..plans import Plan
from .flow_grpo import Velocities
from .loop import weights_of
from .pictures import Painter
from .tasks import RLTask


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
    """Samples of a task, on the CPU. texts: glyph embeddings [1, n, width]. latents: [G, 16, h, w].

    points: dataclasses of tensors, as in ``Method``.
    """

    task: RLTask
    texts: Tensor
    latents: Tensor
    points: Sequence[Any]


def moved(point: Any, device: torch.device) -> Any:
    """A dataclass of tensors, some of which may be None, on another device."""
    return replace(point, **{name: value.to(device) for name, value in vars(point).items() if value is not None})


class PictureSampler:
    """Draws ``group`` samples of each task with the current weights.

    trained: the painter's transformer, or its LoRAs.
    Raises GLMImageError if the method cannot learn from pictures of the painter's number of steps.
    """

    def __init__(self, painter: Painter, trained: nn.Module, method: Method, group: int):
        method.check_steps(painter.steps)
        self.painter, self.trained, self.method, self.group = painter, trained, method, group
        self.start = deepcopy(trained) if method.kl else None
        with torch.no_grad():
            self.no_texts = encode_glyphs(painter.glyph, "", painter.compute)

    @torch.no_grad()
    def draw(self, task: RLTask, seed: int) -> Drawn:
        rng, plan, device = random.Random(seed), self.plan(task), self.painter.compute.device
        noise = draw_noise(rng.getrandbits(63), self.group, plan.width, plan.height)
        texts = encode_glyphs(self.painter.glyph, task.prompt, self.painter.compute)
        latents, points = self.method.sample(self.velocities(plan, texts), noise.to(device), self.painter.steps,
                                             resolution_shift(plan.width, plan.height), rng)
        cpu = torch.device("cpu")
        return Drawn(task, texts.to(cpu), latents.to(cpu), [moved(point, cpu) for point in points])

    def draw_all(self, tasks: Sequence[RLTask], seeds: Sequence[int]) -> list[Drawn]:
        return [self.draw(task, seed) for task, seed in zip(tasks, seeds)]

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
        """By the current weights whenever it is called."""
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
