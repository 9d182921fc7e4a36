"""The planner inside ComfyUI: what is recorded, what pages are faulted in, and what memory is used."""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import comfy.model_management
import comfy.utils
import torch
from comfy.cli_args import args
from torch import Tensor

from glm_core.host.planner import HostPlanner
from glm_core.planner import Sampling

from .recording import all_ids


@dataclass
class Counts:
    """replays: of CUDA graphs. faults, unpins: of weights that DynamicVRAM pages; a fault without room is absent."""

    replays: int = 0
    faults: int = 0
    absent: int = 0
    unpins: int = 0


@contextmanager
def counted(dynamic: bool) -> Iterator[Counts]:
    """Count what happens inside."""
    counts = Counts()
    with ExitStack() as stack:
        replay = torch.cuda.CUDAGraph.replay

        def counted_replay(graph) -> None:
            counts.replays += 1
            replay(graph)

        stack.enter_context(patch.object(torch.cuda.CUDAGraph, "replay", counted_replay))
        if dynamic:
            stack.enter_context(counted_pages(counts))
        yield counts


@contextmanager
def counted_pages(counts: Counts) -> Iterator[None]:
    from comfy_aimdo import model_vbar

    fault, unpin = model_vbar.vbar_fault, model_vbar.vbar_unpin

    def counted_fault(allocation):
        signature = fault(allocation)
        counts.faults += signature is not None
        counts.absent += signature is None
        return signature

    def counted_unpin(allocation) -> None:
        counts.unpins += allocation is not None
        unpin(allocation)

    with patch.multiple(model_vbar, vbar_fault=counted_fault, vbar_unpin=counted_unpin):
        yield


@contextmanager
def without_recording() -> Iterator[None]:
    """Inside, ComfyUI behaves as if it had been started with --disable-cuda-graphs, an option since 0.32."""
    with patch.object(args, "disable_cuda_graphs", True, create=True):
        yield


def plan_ids(planner: HostPlanner, prompt: str, width: int, height: int, batch: int = 1, **options) -> Tensor:
    """Ids [batch, n] on the CPU."""
    return all_ids(planner.plan(prompt, width, height, batch, 3, Sampling(), **options))


def unload() -> None:
    """All models off the device, and all cached memory back."""
    comfy.model_management.unload_all_models()
    gc.collect()  # recorded graphs, whose memory is their own
    comfy.model_management.soft_empty_cache()


def free_bytes(device: torch.device) -> int:
    """Of the device, whoever has the rest."""
    return torch.cuda.mem_get_info(device)[0]


@contextmanager
def progress_hook(hook: Callable[..., object]) -> Iterator[None]:
    """Inside, ``hook`` is called as ComfyUI's server is for every progress bar; the first update always arrives."""
    comfy.utils.set_progress_bar_global_hook(hook)
    try:
        yield
    finally:
        comfy.utils.set_progress_bar_global_hook(None)
