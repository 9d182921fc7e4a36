"""A planner whose weights ComfyUI pages (DynamicVRAM), on the CPU: only comfy-aimdo is stood in for.

ComfyUI's own patcher and layers do the rest. They page weights that are on another device than the activations, so the
weights here say that they are.
"""

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import comfy.model_management
import comfy.model_patcher
import torch
from torch import Tensor, nn


class Elsewhere(nn.Parameter):
    """A weight on the CPU that says that it is not."""

    device = torch.device("meta")  # type: ignore[assignment]


class Pages:
    """What comfy-aimdo does, with a log: pages, how often each was faulted in, and which are pinned.

    room: how many of the weights fit; those after them have no room. broken: those at which aimdo fails.
    faults, pinned, uploads: the weights in question, one entry each time.
    """

    def __init__(self, device: str = "cpu"):
        self.device = device
        self.room: float = float("inf")
        self.broken: list[int] = []
        self.pages: list[Tensor | None] = []
        self.versions: list[int] = []
        self.faults: list[int] = []
        self.pinned: list[int] = []
        self.uploads: list[int] = []

    def alloc(self, size: int) -> tuple["Pages", int, int]:
        """As ModelVBAR.alloc."""
        self.pages.append(None)
        self.versions.append(0)
        return self, len(self.pages) - 1, size

    def evict(self, page: int) -> None:
        assert page not in self.pinned, "a pinned page was evicted"
        self.versions[page] += 1

    def fault(self, page: tuple["Pages", int, int]) -> Any:
        """As vbar_fault: a signature, which changes when the page was away, or None without room."""
        _, i, _ = page
        self.faults.append(i)
        if i in self.broken:
            raise RuntimeError(f"Fault failed: {i}")
        if i >= self.room:
            return None
        self.pinned.append(i)
        return (ctypes.c_uint32 * 1)(self.versions[i] + 1)

    def unpin(self, page: tuple["Pages", int, int] | None) -> None:
        """As vbar_unpin."""
        if page is not None:
            self.pinned.remove(page[1])

    def memory(self, page: tuple["Pages", int, int], device: torch.device) -> Tensor:
        """As aimdo_to_tensor."""
        _, i, size = page
        self.uploads.append(i)
        if self.pages[i] is None:
            self.pages[i] = torch.empty(size, dtype=torch.uint8, device=self.device)
        found = self.pages[i]
        assert found is not None
        return found

    # what else the patcher asks of a ModelVBAR
    def prioritize(self) -> None: ...

    def loaded_size(self) -> int:
        return 0

    def free_memory(self, size: float) -> int:
        return 0

    def clear_log(self) -> None:
        self.faults, self.uploads = [], []


def host_buffer(*args) -> SimpleNamespace:
    return SimpleNamespace(size=0, truncate=lambda *args, **options: None)


@contextmanager
def paging(device: str = "cpu") -> Iterator[Pages]:
    """Inside, new planners page their weights."""
    pages = Pages(device)
    dynamic = comfy.model_patcher.ModelPatcherDynamic
    replaced = {
        "comfy.model_patcher.CoreModelPatcher": dynamic,
        "comfy.model_patcher.ModelPatcherDynamic._vbar_get": lambda patcher, create=False: pages,
        "comfy.model_management.is_device_cpu": lambda device: False,
        "comfy.pinned_memory.pin_memory": lambda *args, **options: None,
        "comfy_aimdo.host_buffer.HostBuffer": host_buffer,
        "comfy_aimdo.model_vbar.vbar_fault": pages.fault,
        "comfy_aimdo.model_vbar.vbar_unpin": pages.unpin,
        "comfy_aimdo.torch.aimdo_to_tensor": pages.memory,
        "glm_core.host.planner.pages_weights": lambda device: True,
    }
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(patch(name, value))
        yield pages


def move_elsewhere(model: nn.Module) -> None:
    """Let paged weights say that they are not on the device of the activations."""
    for module in model.modules():
        if hasattr(module, "_v"):
            for name, parameter in list(module.named_parameters(recurse=False)):
                setattr(module, name, Elsewhere(parameter.data, requires_grad=False))
