"""Plans with the pass of a token recorded, and without."""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from glm_core.pipeline import Compute
from glm_core.planner import PlannerModel, PromptLayout, generate_plan
from glm_core.planner.session import record_cuda_graph
from glm_core.plans import Plan


def replay_step(step: Callable[[], None]) -> Callable[[], None]:
    """The recorder of a device without CUDA graphs: the pass itself, on the tensors of a recorded one."""
    return step


def recorder_of(device: torch.device) -> dict:
    """The options of ``generate_plan`` that record the pass; a capture that fails raises an error."""
    return {"recorder": nullcontext(record_cuda_graph if device.type == "cuda" else replay_step)}


def plan(model: PlannerModel, layout: PromptLayout, compute: Compute, recorded: bool, **options) -> Plan:
    """See ``generate_plan``."""
    options |= recorder_of(compute.device) if recorded else {}
    return generate_plan(model, layout, device=compute.device, dtype=compute.dtype, **options)


def all_ids(written: Plan) -> Tensor:
    """Ids [B, n] on the CPU: the coarse grid, then the target."""
    grids = [written.ids] if written.coarse is None else [written.coarse, written.ids]
    return torch.cat([grid.flatten(1) for grid in grids], dim=1).cpu()
