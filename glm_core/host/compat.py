"""Differences between versions of ComfyUI, from 0.8 on: one function for each."""

import comfy.model_management
import comfy.model_patcher
from comfy.cli_args import args
from torch import nn


def core_patcher_class() -> type[comfy.model_patcher.ModelPatcher]:
    """The patcher of ComfyUI's own models. Since 0.12 it can page weights from disk (DynamicVRAM)."""
    return getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


def is_dynamic(patcher: comfy.model_patcher.ModelPatcher) -> bool:
    """True if the patcher pages weights, a thing since 0.12; they are then assigned from the file, not copied."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


def record_dtypes(module: nn.Module) -> None:
    """Note the dtype of every weight on its module. Since 0.12, patchers keep to it when they move weights."""
    if hasattr(comfy.model_management, "archive_model_dtypes"):
        comfy.model_management.archive_model_dtypes(module)


def cuda_graphs_disabled() -> bool:
    """True if ComfyUI was started with --disable-cuda-graphs, an option since 0.32."""
    return getattr(args, "disable_cuda_graphs", False)
