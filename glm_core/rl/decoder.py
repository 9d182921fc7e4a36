"""The decoder learns from several pictures of each plan, which differ by their noise, what made some of them better.

How it learns is a method: Flow-GRPO (flow_grpo.py) or DiffusionNFT (nft.py). Only the diffusion transformer changes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from .advantages import advantages
from .loop import weights_of
from .rewards import Sample, WeightedReward
from .rollouts import PictureRollout
from .sampler import Drawn, PictureSampler, moved
from .settings import RLSettings
from .tasks import TaskSource


@dataclass(frozen=True)
class PictureBatch:
    """Samples of several tasks with their advantages [G]. figures: for the log, to which the losses add theirs."""

    groups: list[tuple[Drawn, Tensor]]
    figures: dict[str, float]


class DecoderLearner:
    """A Learner, see loop.py. rollout: draws the pictures; None for this process."""

    def __init__(self, sampler: PictureSampler, source: TaskSource, rewards: Sequence[WeightedReward],
                 settings: RLSettings, rollout: PictureRollout | None = None):
        self.sampler, self.source, self.rewards, self.settings = sampler, source, rewards, settings
        self.trained, self.method, self.rollout = sampler.trained, sampler.method, rollout or sampler.draw_all
        self.painter, self.device = sampler.painter, sampler.painter.compute.device

    @torch.no_grad()
    def collect(self, rng: random.Random, first: int, average: AveragedModel) -> tuple[PictureBatch, dict[str, float]]:
        tasks = self.source.draw(rng, self.settings.prompts, first)
        with weights_of(self.trained, average) if self.method.averaged else nullcontext():
            drawn = self.rollout(tasks, [rng.getrandbits(63) for _ in tasks])
        found = advantages([self.samples(entry) for entry in drawn], self.rewards)
        groups = [(entry, found.samples[i]) for i, entry in enumerate(drawn) if found.samples[i].any()]
        batch = PictureBatch(groups, {**found.means, "groups": len(groups)})
        return batch, batch.figures

    def samples(self, drawn: Drawn) -> list[Sample]:
        plan = self.sampler.plan(drawn.task)
        return [Sample(drawn.task, plan, picture) for picture in self.painter.show(drawn.latents.to(self.device))]

    def losses(self, batch: PictureBatch, rng: random.Random) -> Iterator[Tensor]:
        """Their mean over all points; the figures are those of the last time."""
        count = sum(len(drawn.points) for drawn, _ in batch.groups)
        sums: dict[str, float] = {}
        for drawn, own in batch.groups:
            learned = self.sampler.velocities(self.sampler.plan(drawn.task), drawn.texts.to(self.device)).learned
            for stored in drawn.points:
                point = moved(stored, self.device)
                loss, figures = self.method.loss(point, learned(point.x, point.sigma), own.to(self.device))
                sums |= {name: sums.get(name, 0.0) + value for name, value in figures.items()}
                yield loss / count
        batch.figures.update({name: total / count for name, total in sums.items()})
