"""Plans and pictures to train on, from the workers of a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..checkpoint import PLANNER
from ..pipeline import Compute, PlanRequest, ReferenceImage
from ..pipeline.cluster import OrderedWorker, Pools, on_cluster, plan_on_cluster
from ..planner import PlannerModel, Sampling
from ..plans import Plan
from .lora import LoRA
from .output import write_checkpoint
from .pictures import Painter
from .sampler import Drawn, Method, PictureSampler
from .tasks import RLTask

ON_POLICY = Sampling(temperature=1.0, top_p=1.0)

PlanRollout = Callable[[Sequence[RLTask], Sequence[int]], list[Plan]]  # tasks and their seeds → a group for each
PictureRollout = Callable[[Sequence[RLTask], Sequence[int]], list[Drawn]]  # likewise


@dataclass(frozen=True)
class ClusterPlans:
    """A PlanRollout: generates plans with the current weights, which every call writes to a folder that all machines
    can read.

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


class PictureWorker(OrderedWorker):
    """Draws the samples of a task with the weights of a file. Those of the model are the starting weights."""

    def __init__(self, weights: Path, steps: int, guidance: float, method: Method, group: int, **options: Any):
        super().__init__(**options)
        painter = Painter.load(self.model, self.compute, steps, guidance)
        self.sampler = PictureSampler(painter, painter.dit, method, group)
        painter.dit.load_state_dict(load_file(weights))

    def answer(self, value: tuple[RLTask, int]) -> Drawn:
        return self.sampler.draw(*value)


@dataclass(frozen=True)
class ClusterPictures:
    """A PictureRollout: draws pictures with the current weights, which every call writes to a file that all machines
    can read.

    source: folder of the model that learns. weights: the file. sampler: that of this process.
    """

    source: Path
    weights: Path
    sampler: PictureSampler
    pools: Pools

    def __call__(self, tasks: Sequence[RLTask], seeds: Sequence[int]) -> list[Drawn]:
        painter = self.sampler.painter
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        save_file(merged_weights(painter.dit, self.sampler.trained), self.weights)
        options = {"model": self.source.absolute(), "compute": painter.compute, "weights": self.weights.absolute(),
                   "steps": painter.steps, "guidance": painter.guidance, "method": self.sampler.method,
                   "group": self.sampler.group}
        return on_cluster(PictureWorker, list(zip(tasks, seeds)), self.pools.decoders, self.pools.gpus_per_decoder,
                          self.pools, options)


def reference_of(tokens: Plan) -> ReferenceImage:
    """A reference image with these tokens. Its pixels are black: the planner reads only the tokens."""
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
