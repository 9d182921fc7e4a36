"""GRPO for the planner: compare several plans of one prompt and learn from the better ones.

Shao et al. 2024, "DeepSeekMath". Tokens are sampled at temperature 1 from the full softmax, so that their
log-probabilities are those of the policy that drew them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..errors import GLMImageError
from ..pipeline import Compute
from ..planner import PlannerModel, PromptLayout, PromptTokenizer, generate_plan, lay_out_prompt, score
from ..plans import Plan, select
from .advantages import Advantages, advantages
from .loop import weights_of
from .pictures import Painter
from .rewards import Sample, WeightedReward
from .rollouts import ON_POLICY, PlanRollout
from .settings import GRPO, RLSettings
from .tasks import RLTask, TaskSource


@dataclass
class PlanGroup:
    """Plans of one task.

    plans: of G items. advantages: of every token, float32 [G, n]. old: log-probabilities [G, n] when the plans were
    drawn, None until the first pass over them. start: those of the starting weights.
    """

    layout: PromptLayout
    plans: Plan
    advantages: Tensor
    old: Tensor | None = None
    start: Tensor | None = None


class PlannerLearner:
    """A Learner, see loop.py.

    trained: the model, or its LoRAs. painter: draws the plans for rewards that look at pictures; None if there are
    none. rollout: draws the plans; None for this process.
    """

    def __init__(self, model: PlannerModel, tokenizer: PromptTokenizer, trained: nn.Module, source: TaskSource,
                 rewards: Sequence[WeightedReward], settings: RLSettings, method: GRPO, compute: Compute,
                 painter: Painter | None = None, rollout: PlanRollout | None = None):
        self.model, self.tokenizer, self.trained, self.source = model, tokenizer, trained, source
        self.rewards, self.settings, self.method, self.compute = rewards, settings, method, compute
        self.painter, self.start, self.rollout = painter, deepcopy(trained), rollout or self.draw_plans

    def collect(self, rng: random.Random, first: int, average: AveragedModel) -> tuple[list[PlanGroup], dict]:
        tasks = self.source.draw(rng, self.settings.prompts, first)
        plans = self.rollout(tasks, [rng.getrandbits(63) for _ in tasks])
        samples = [self.samples(task, plan, rng.getrandbits(63)) for task, plan in zip(tasks, plans)]
        found = advantages(samples, self.rewards)
        kept = [i for i in range(len(tasks)) if found.is_kept(i)]
        groups = [PlanGroup(self.lay_out(tasks[i]), plans[i], token_advantages(found, i, plans[i])) for i in kept]
        return groups, {**found.means, "groups": len(groups)}

    def lay_out(self, task: RLTask) -> PromptLayout:
        return lay_out_prompt(self.tokenizer, self.model.config, task.prompt, task.width, task.height, task.references)

    def draw_plans(self, tasks: Sequence[RLTask], seeds: Sequence[int]) -> list[Plan]:
        """A group of plans for each task."""
        return [generate_plan(self.model, self.lay_out(task), batch=self.settings.group, seed=seed, sampling=ON_POLICY,
                              device=self.compute.device, dtype=self.compute.dtype)
                for task, seed in zip(tasks, seeds)]

    def score(self, group: PlanGroup) -> Tensor:
        return score(self.model, group.layout, group.plans, self.compute.device, self.compute.dtype)

    def samples(self, task: RLTask, plans: Plan, seed: int) -> list[Sample]:
        """The plans of a task one by one, with pictures if a reward needs them, all from the noise of one ``seed``."""
        items = [select(plans, i) for i in range(plans.batch)]
        if self.painter is None:
            return [Sample(task, plan) for plan in items]
        if task.references:
            raise GLMImageError("rewards that look at pictures need prompts without reference images "
                                f"(got {task.prompt!r})")
        return [Sample(task, plan, self.painter.draw(plan, task.prompt, seed)) for plan in items]

    def losses(self, batch: list[PlanGroup], rng: random.Random) -> Iterator[Tensor]:
        for group in batch:
            log_probs = self.score(group)
            if group.old is None:
                group.old = log_probs.detach()
                group.start = self.log_probs_at_start(group)
            assert group.start is not None
            yield grpo_loss(log_probs, group.old, group.start, group.advantages, self.method) / len(batch)

    @torch.no_grad()
    def log_probs_at_start(self, group: PlanGroup) -> Tensor:
        with weights_of(self.trained, self.start):
            return self.score(group)


def token_advantages(found: Advantages, group: int, plans: Plan) -> Tensor:
    """Of every token of a group's plans in the order of writing, [G, n]. Coarse tokens have their sample's."""
    target = found.cells[group].flatten(1)
    if plans.coarse is None:
        return target
    coarse = found.samples[group][:, None].expand(-1, plans.coarse[0].numel())
    return torch.cat((coarse, target), dim=1)


def grpo_loss(log_probs: Tensor, old: Tensor, start: Tensor, advantages: Tensor, method: GRPO) -> Tensor:
    """Mean over all tokens. All are [G, n]: log-probabilities now, when drawn, and at the start; advantages.

    The divergence from the start is estimated by exp(d) - d - 1 with d = start - now (Schulman 2020, "k3").
    """
    advantages = advantages.to(log_probs.device)
    ratio = (log_probs - old).exp()
    clipped = ratio.clamp(1 - method.clip, 1 + method.clip)
    gain = torch.minimum(ratio * advantages, clipped * advantages)
    d = start - log_probs
    return (method.kl * (d.exp() - d - 1) - gain).mean()
