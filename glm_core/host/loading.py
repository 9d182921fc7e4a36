"""What every loader shares: reading through the host, choosing types and layers, wrapping for its memory manager."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.quant_ops
import comfy.utils
import torch
from torch import nn

from ..checkpoint import Part, Weights, format_names, read_part
from ..errors import GLMImageError

INFERENCE_DTYPES = [torch.bfloat16, torch.float32]  # a port reports overflows in float16


def read_weights(path: str, part: Part) -> Weights:
    """Read through ComfyUI's own file loader and bring scaled fp8 files of older tools to its present form.

    Raises GLMImageError when the file is quantised in a way that this ComfyUI does not know.
    """
    weights = read_part(Path(path), part, load=comfy.utils.load_torch_file)
    tensors, metadata = comfy.utils.convert_old_quants(weights.tensors, "", metadata=weights.metadata)
    unknown = format_names(tensors) - comfy.quant_ops.QUANT_ALGOS.keys()
    if unknown:
        raise GLMImageError(f"{weights.source}: quantised as {', '.join(sorted(unknown))}, which this ComfyUI does not know; "
                            f"it reads {', '.join(comfy.quant_ops.QUANT_ALGOS)}")
    return replace(weights, tensors=tensors, metadata=metadata)


@dataclass(frozen=True)
class Precision:
    """storage: type of the weights. cast: type to compute in where that differs, else None. quantised: ComfyUI's quant config."""

    storage: torch.dtype
    cast: torch.dtype | None
    quantised: dict | None

    @property
    def compute(self) -> torch.dtype:
        return self.cast or self.storage

    def operations(self):
        return comfy.ops.pick_operations(self.storage, self.cast, model_config=SimpleNamespace(quant_config=self.quantised))


def choose_precision(weights: Weights, load_device, dtype: torch.dtype | None = None) -> Precision:
    """As comfy.sd.load_diffusion_model_state_dict chooses: what the file holds, if the device can compute in it."""
    quantised = comfy.utils.detect_layer_quantization(weights.tensors, "")
    if dtype is None:
        dtype = comfy.model_management.unet_dtype(
            model_params=comfy.utils.calculate_parameters(weights.tensors), supported_dtypes=INFERENCE_DTYPES,
            weight_dtype=None if quantised else comfy.utils.weight_dtype(weights.tensors))
    cast = comfy.model_management.unet_manual_cast(None if quantised else dtype, load_device, INFERENCE_DTYPES)
    return Precision(dtype, cast, quantised)


def patcher_class():
    """From 0.12 the one that can page weights in and out (DynamicVRAM)."""
    return getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)


def pages_weights(device: torch.device) -> bool:
    """Whether ComfyUI will read weights from their file when they are wanted, so that tensors of our own making cost memory."""
    return patcher_class() is not comfy.model_patcher.ModelPatcher and device.type != "cpu"


def make_patcher(module: nn.Module, load_device, offload_device, disable_dynamic: bool = False):
    """ComfyUI's patcher for a module."""
    if hasattr(comfy.model_management, "archive_model_dtypes"):
        comfy.model_management.archive_model_dtypes(module)
    made = comfy.model_patcher.ModelPatcher if disable_dynamic else patcher_class()
    return made(module, load_device=load_device, offload_device=offload_device)


def is_dynamic(patcher) -> bool:
    """Paged weights are assigned from the file, not copied. Patchers before 0.12 know nothing of it."""
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


def stays_in_place(patcher) -> bool:
    """All weights of a loaded model are on its device and stay where they are until something else is loaded."""
    return not is_dynamic(patcher) and not patcher.model.model_lowvram
