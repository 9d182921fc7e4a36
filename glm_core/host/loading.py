"""What all loaders share: reading through ComfyUI, choosing dtypes and layers, wrapping for its memory manager."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.quant_ops
import comfy.utils
import torch
from comfy.cli_args import args
from torch import nn

from ..checkpoint import Part, Weights, dequantise_all, read_part, read_tags, text_to_tensor
from ..errors import GLMImageError
from .compat import core_patcher_class, record_dtypes

INFERENCE_DTYPES = [torch.bfloat16, torch.float32]  # another port of the model reports overflows in float16
TEXT_ENCODER_FLAGS = {"fp32_text_enc": torch.float32, "bf16_text_enc": torch.bfloat16, "fp16_text_enc": torch.float16,
                      "fp8_e4m3fn_text_enc": torch.float8_e4m3fn, "fp8_e5m2_text_enc": torch.float8_e5m2}


def read_weights(path: str, part: Part) -> Weights:
    """Read through ComfyUI's own file loader.

    Raises GLMImageError as ``read_part`` does, or if this ComfyUI does not know the file's quantisation.
    """
    weights = read_part(Path(path), part, load=comfy.utils.load_torch_file)
    known = comfy.quant_ops.QUANT_ALGOS
    for layer, mark in read_tags(weights.tensors, weights.source).items():
        if mark["format"] not in known:
            raise GLMImageError(f"{weights.source}: the quantisation must be one that this ComfyUI knows: "
                                f"{', '.join(known)} (got {mark['format']}); a newer one may know it")
        stored, expected = weights.tensors[f"{layer}weight"].dtype, known[mark["format"]]["storage_t"]
        if stored != expected:
            raise GLMImageError(f"{weights.source}: {layer}weight must be {expected} for {mark['format']} "
                                f"(got {stored})")
    return weights


def read_whole_weights(path: str, part: Part) -> Weights:
    """``read_weights`` of a small part whose layers compute with plain weights: quantised ones are restored."""
    weights = read_weights(path, part)
    return replace(weights, tensors=dequantise_all(weights.tensors, weights.source))


def saved_config(part: Part, config: Any) -> dict[str, torch.Tensor]:
    """What a part adds to the tensors that ComfyUI's own nodes save, so that its ``config`` (a dataclass) is kept."""
    return {part.config_tensor: text_to_tensor(json.dumps(asdict(config)))}


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


def choose_planner_precision(weights: Weights, load_device: torch.device) -> Precision:
    """As ``choose_precision``, but under ComfyUI's flags for text encoders (--bf16-text-enc), not for the UNet."""
    with without_unet_flags():
        return choose_precision(weights, load_device, text_encoder_flag(weights))


def text_encoder_flag(weights: Weights) -> torch.dtype | None:
    """The type that ComfyUI was started with for text encoders; None without one, and where it does not apply: float16
    for any of our models, and every type for a file that is quantised."""
    asked = next((dtype for flag, dtype in TEXT_ENCODER_FLAGS.items() if getattr(args, flag)), None)
    if asked == torch.float16:
        warn_of_float16(weights)
        return None
    return None if comfy.utils.detect_layer_quantization(weights.tensors, "") else asked


def storage_dtype(weights: Weights, quantised: dict | None) -> torch.dtype:
    """ComfyUI's choice for weights of this type and number; --fp16-unet does not apply."""
    about = {"model_params": comfy.utils.calculate_parameters(weights.tensors), "supported_dtypes": INFERENCE_DTYPES,
             "weight_dtype": None if quantised else comfy.utils.weight_dtype(weights.tensors)}
    chosen = comfy.model_management.unet_dtype(**about)
    if chosen != torch.float16:
        return chosen
    warn_of_float16(weights)
    with without_unet_flags():
        return comfy.model_management.unet_dtype(**about)


def warn_of_float16(weights: Weights) -> None:
    logging.warning("%s: GLM-Image runs in bfloat16 or float32; the option for fp16 is ignored", weights.source)


@contextmanager
def without_unet_flags() -> Iterator[None]:
    """Inside, ComfyUI chooses types as if it had been started without --bf16-unet, --fp8_e4m3fn-unet and the like."""
    flags = {name: value for name, value in vars(args).items() if name.endswith("_unet")}
    vars(args).update(dict.fromkeys(flags, False))
    try:
        yield
    finally:
        vars(args).update(flags)


def pages_weights(device: torch.device) -> bool:
    """True if ComfyUI pages weights from disk; tensors that we create ourselves then take extra memory."""
    return core_patcher_class() is not comfy.model_patcher.ModelPatcher and device.type != "cpu"


def make_patcher(module: nn.Module, load_device: torch.device, offload_device: torch.device,
                 disable_dynamic: bool = False) -> comfy.model_patcher.ModelPatcher:
    """ComfyUI's patcher for a module. disable_dynamic: whether the weights must not be paged from disk."""
    record_dtypes(module)
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else core_patcher_class()
    return patcher_class(module, load_device=load_device, offload_device=offload_device)
