"""Plans to learn from, drawn in this process or by the planners of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoint import PLANNER
from ..pipeline import Compute, PlanRequest, ReferenceImage
from ..pipeline.cluster import Pools, plan_on_cluster
from ..planner import PlannerModel, Sampling
from ..plans import Plan
from .lora import LoRA
from .output import write_checkpoint
from .tasks import RLTask

ON_POLICY = Sampling(temperature=1.0, top_p=1.0)

Rollout = Callable[[Sequence[RLTask], Sequence[int]], list[Plan]]  # tasks and their seeds → plans of a group for each


@dataclass(frozen=True)
class ClusterRollout:
    """Draws with the present weights, which every call writes to a folder that all machines can read.

    source: folder of the model that learns. model, trained: as in PlannerLearner. group: plans of each task.
    """

    source: Path
    folder: Path
    model: PlannerModel
    trained: nn.Module
    group: int
    compute: Compute
    pools: Pools

    def __call__(self, tasks: Sequence[RLTask], seeds: Sequence[int]) -> list[Plan]:
        weights = merged_weights(self.model, self.trained)
        write_checkpoint(self.source, self.folder, PLANNER, weights, torch.float32)
        requests = [PlanRequest(task.prompt, task.width, task.height, self.group, seed, ON_POLICY,
                                tuple(map(reference_of, task.references))) for task, seed in zip(tasks, seeds)]
        return plan_on_cluster(self.folder, requests, self.compute, pools=self.pools)


def reference_of(tokens: Plan) -> ReferenceImage:
    """A reference image of these tokens. Its pixels are black: the planner reads the tokens alone."""
    return ReferenceImage(torch.zeros(tokens.batch, tokens.height, tokens.width, 3), tokens)


@torch.no_grad()
def merged_weights(model: nn.Module, trained: nn.Module) -> dict[str, Tensor]:
    """The model's tensors; if LoRAs learn, with their products added."""
    weights = dict(model.state_dict())
    if isinstance(trained, nn.ModuleDict):
        for name, lora in trained.items():
            assert isinstance(lora, LoRA)
            weight = f"{name.replace('/', '.')}.weight"
            weights[weight] = weights[weight] + (lora.b @ lora.a).to(weights[weight].dtype)
    return weights
