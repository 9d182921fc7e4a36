"""Marks: what says that a layer is quantised, and how. Older forms become ComfyUI's present one, a tensor a layer."""

import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...errors import GLMImageError
from ...files import parse_json, quote
from ..text import tensor_to_text, text_to_tensor
from .format import SCALE, WEIGHT

TAG = "comfy_quant"  # a layer's tensor with the name of its format and further values, as JSON
LONGEST_TAG = 4096  # bytes
METADATA = "_quantization_metadata"  # in a file's metadata: the marks of all layers
SCALED_FP8 = "scaled_fp8"  # a tensor that says of a whole file: fp8 layers with scale_weight
SCALED_FP8_NAMES = {"scale_weight": SCALE, "scale_input": "input_scale"}
FP8_NAMES = {torch.float8_e4m3fn: "float8_e4m3fn", torch.float8_e5m2: "float8_e5m2"}
SCALES: dict[str, Callable[[Tensor], tuple[int, ...]]] = {  # format → how many numbers weight_scale may have
    "float8_e4m3fn": lambda weight: (1,), "float8_e5m2": lambda weight: (1,),
    "int8_tensorwise": lambda weight: (1, len(weight)),
}
QUANTISATION_CONFIG = "quantization_config"  # of diffusers and transformers
TEXT = "text_config"  # in the planner's config
# tensors of a quantised layer in the formats of ComfyUI, bitsandbytes, GPTQ, AutoRound, SDNQ, compressed-tensors
COMPANIONS = {
    TAG, SCALE, "weight_scale_2", "weight_scale_inv", "weight_s_rel", "weight_s_channel", "weight_codebook",
    "input_scale", "pre_quant_scale", "scale_weight", "scale_input", "SCB", "weight_format", "scale", "zero_point",
    "svd_up", "svd_down", "qweight", "qzeros", "scales", "g_idx", "absmax", "quant_map", "nested_absmax",
    "nested_quant_map", "weight_packed", "weight_shape", "weight_zero_point", "bitsandbytes__nf4",
    "bitsandbytes__fp4",
}
ACCEPTED = ("it must have weights of 16 or 32 bits, fp8 without scales, or layers marked for ComfyUI "
            "(comfy_quant, _quantization_metadata, scaled_fp8); whole folders of SDNQ, AutoRound or bitsandbytes are "
            "converted by 'python -m glm_core convert FOLDER MODELS'")


def add_tags(tensors: dict[str, Tensor], metadata: dict[str, str], released_name: Callable[[str], str | None],
             source: str) -> None:
    """Bring the marks of a file to the form of tensors TAG, in place.

    tensors: by released name. released_name: of a name in the file, see ``released_name_of``.
    Raises GLMImageError if marks cannot be read, or if one names a layer that is not there.
    """
    if SCALED_FP8 in tensors:
        tag_scaled_fp8(tensors)
    if METADATA not in metadata:
        return
    layers = parse_json(metadata[METADATA], f"{source}: {METADATA}").get("layers")
    if not isinstance(layers, dict):
        raise GLMImageError(f"{source}: {METADATA} must have the object layers (got {quote(layers)})")
    for layer, mark in layers.items():
        weight = released_name(f"{layer}.{WEIGHT}")
        candidates = [name for name in (weight, f"{layer}.{WEIGHT}") if name in tensors]
        if candidates:
            tensors[candidates[0].removesuffix(WEIGHT) + TAG] = text_to_tensor(json.dumps(mark))
        elif weight is not None:  # else it is a layer of another part
            raise GLMImageError(f"{source}: {METADATA} must name layers of the file (got {quote(layer)})")


def tag_scaled_fp8(tensors: dict[str, Tensor]) -> None:
    """The form of files with a tensor "scaled_fp8", whose number of elements says whether to multiply in full."""
    in_full = {"full_precision_matrix_mult": True} if tensors.pop(SCALED_FP8).numel() == 2 else {}
    for name in list(tensors):
        layer, _, last = name.rpartition(".")
        format_name = FP8_NAMES.get(tensors[f"{layer}.{WEIGHT}"].dtype) if f"{layer}.{WEIGHT}" in tensors else None
        if last not in SCALED_FP8_NAMES or format_name is None:
            continue
        scale = tensors.pop(name)
        if last == "scale_weight":
            tensors[f"{layer}.{TAG}"] = text_to_tensor(json.dumps({"format": format_name, **in_full}))
        if last == "scale_weight" or not bool((scale == 1).all()):
            tensors[f"{layer}.{SCALED_FP8_NAMES[last]}"] = scale


def read_tag(tag: Tensor, source: str) -> dict[str, Any]:
    """The values of a mark, among them "format". Raises GLMImageError on anything else."""
    if tag.numel() > LONGEST_TAG:
        raise GLMImageError(f"{source}: must have at most {LONGEST_TAG} bytes (got {tag.numel()})")
    values = parse_json(tensor_to_text(tag, source), source)
    if not isinstance(values.get("format"), str):
        raise GLMImageError(f"{source}: must name a format (got {quote(values)})")
    return values


def read_tags(tensors: dict[str, Tensor], source: str) -> dict[str, dict[str, Any]]:
    """The marks of all layers, by the layer's name with its final dot."""
    return {name.removesuffix(TAG): read_tag(tag, f"{source}: {name}")
            for name, tag in tensors.items() if name == TAG or name.endswith("." + TAG)}


def check_marks(tensors: dict[str, Tensor], config: dict | None, source: str) -> None:
    """Raise GLMImageError, naming what was found, if weights are quantised without a mark that ComfyUI knows."""
    tags = read_tags(tensors, source)
    scheme = stated_scheme(config) or unmarked_scheme(tensors, tags) or mismatched_scheme(tensors, tags)
    if scheme:
        raise GLMImageError(f"{source}: its weights are quantised in a form that cannot be read here "
                            f"(got {scheme}); {ACCEPTED}")


def stated_scheme(config: dict | None) -> str | None:
    """What a config says of quantised weights; None if it says nothing."""
    stated = stated_quantisation(config)
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    return QUANTISATION_CONFIG + (f" with quant_method {quote(method)}" if method else "") if stated else None


def stated_quantisation(config: dict | None) -> Any:
    """The quantization_config in a part's config; None if it says nothing."""
    for values in (config or {}, (config or {}).get(TEXT)):
        stated = values.get(QUANTISATION_CONFIG) if isinstance(values, dict) else None
        if stated:
            return stated
    return None


def without_quantisation(config: dict) -> dict:
    """A part's config as it is of weights that are not quantised."""
    text = {TEXT: without_quantisation(config[TEXT])} if isinstance(config.get(TEXT), dict) else {}
    return {key: value for key, value in config.items() if key != QUANTISATION_CONFIG} | text


def unmarked_scheme(tensors: dict[str, Tensor], tags: dict[str, dict]) -> str | None:
    """The first tensor that is quantised, or belongs to a quantised layer, without a mark; None if there is none."""
    for layer in tags:
        if layer + WEIGHT not in tensors:
            return f"{layer}{TAG} without {layer}{WEIGHT}"
    for name, tensor in tensors.items():
        layer, _, last = name.rpartition(".")
        owner = layer.removesuffix("." + WEIGHT) + "." if layer else ""
        if owner not in tags and last in COMPANIONS:
            return f"{name}, {tensor.dtype}, without {owner}{TAG}"
        if owner not in tags and not tensor.is_floating_point():
            return f"{name}, {tensor.dtype}, without {owner}{TAG}"
    return None


def mismatched_scheme(tensors: dict[str, Tensor], tags: dict[str, dict]) -> str | None:
    """The first marked layer whose tensors are not those of its format; None if all are."""
    for layer, mark in tags.items():
        weight, scale = tensors[layer + WEIGHT], tensors.get(layer + SCALE)
        if weight.element_size() != 1 or weight.ndim != 2:
            return f"{layer}{WEIGHT}, {weight.dtype} {list(weight.shape)}, marked {mark['format']}"
        scales = SCALES.get(mark["format"], lambda weight: ())(weight)
        if scales and (scale is None or scale.numel() not in scales or not scale.is_floating_point()):
            found = "none" if scale is None else f"{scale.dtype} {list(scale.shape)}"
            return f"{layer}{SCALE}, {found}, for a weight {list(weight.shape)} marked {mark['format']}"
    return None
