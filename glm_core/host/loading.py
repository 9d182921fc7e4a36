"""What all loaders share: reading through ComfyUI, choosing dtypes and layers, wrapping for its memory manager."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.quant_ops
import comfy.utils
import torch
from torch import nn

from ..checkpoint import Part, Weights, format_names, read_part
from ..errors import GLMImageError
from .compat import core_patcher_class, is_dynamic, record_dtypes

INFERENCE_DTYPES = [torch.bfloat16, torch.float32]  # another port of the model reports overflows in float16


def read_weights(path: str, part: Part) -> Weights:
    """Read with ComfyUI's own file loader, and convert the scaled fp8 files of older tools to its present format.

    Raises GLMImageError as ``read_part`` does, or when this ComfyUI does not know the file's quantisation.
    """
    weights = read_part(Path(path), part, load=comfy.utils.load_torch_file)
    tensors, metadata = comfy.utils.convert_old_quants(weights.tensors, "", metadata=weights.metadata)
    known = comfy.quant_ops.QUANT_ALGOS.keys()
    unknown = format_names(tensors) - known
    if unknown:
        raise GLMImageError(f"{weights.source}: the quantisation must be one that this ComfyUI knows: "
                            f"{', '.join(known)} (got {', '.join(sorted(unknown))}); a newer one may know it")
    return replace(weights, tensors=tensors, metadata=metadata)


@dataclass(frozen=True)
class Precision:
    """storage: dtype of the weights. cast: dtype to compute in, None for the same. quantised: ComfyUI's settings."""

    storage: torch.dtype
    cast: torch.dtype | None
    quantised: dict | None

    @property
    def compute(self) -> torch.dtype:
        """The dtype to compute in."""
        return self.cast or self.storage

    def operations(self) -> Any:
        """ComfyUI's layers for these dtypes."""
        model_config = SimpleNamespace(quant_config=self.quantised)
        return comfy.ops.pick_operations(self.storage, self.cast, model_config=model_config)


def choose_precision(weights: Weights, load_device: torch.device, dtype: torch.dtype | None = None) -> Precision:
    """As comfy.sd.load_diffusion_model_state_dict chooses: what the file holds, if the device can compute in it.

    dtype: of the weights, if the user chose one.
    """
    quantised = comfy.utils.detect_layer_quantization(weights.tensors, "")
    storage = storage_dtype(weights, quantised) if dtype is None else dtype
    cast = comfy.model_management.unet_manual_cast(None if quantised else storage, load_device, INFERENCE_DTYPES)
    return Precision(storage, cast, quantised)


def storage_dtype(weights: Weights, quantised: dict | None) -> torch.dtype:
    """ComfyUI's choice for this number of weights in their dtype."""
    return comfy.model_management.unet_dtype(
        model_params=comfy.utils.calculate_parameters(weights.tensors), supported_dtypes=INFERENCE_DTYPES,
        weight_dtype=None if quantised else comfy.utils.weight_dtype(weights.tensors))


def pages_weights(device: torch.device) -> bool:
    """True if ComfyUI pages weights from disk; tensors that we create ourselves then take extra memory."""
    return core_patcher_class() is not comfy.model_patcher.ModelPatcher and device.type != "cpu"


def make_patcher(module: nn.Module, load_device: torch.device, offload_device: torch.device,
                 disable_dynamic: bool = False) -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's patcher for a module. disable_dynamic: whether the weights must not be paged from disk."""
    record_dtypes(module)
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else core_patcher_class()
    return patcher_class(module, load_device=load_device, offload_device=offload_device)


def stays_in_place(patcher: comfy.model_patcher.ModelPatcher) -> bool:
    """True if all weights of a loaded model are on its device and stay there until something else is loaded."""
    return not is_dynamic(patcher) and not patcher.model.model_lowvram
