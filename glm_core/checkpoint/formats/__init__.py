"""Quantised formats: large matrices in few bits, stored and tagged as ComfyUI's quantised layers read them.

ComfyUI's side is in comfy/quant_ops.py and comfy/ops.py. A new format is one module here and its value in FORMATS.
"""

import json
import re

from torch import Tensor

from ...errors import GLMImageError
from ..parts import DIFFUSION, PLANNER, Part
from ..text import parse_json, tensor_to_text, text_to_tensor
from .format import WEIGHT, Format
from .fp8 import FP8
from .int8 import INT8
from .nvfp4 import NVFP4

FORMATS = {entry.name: entry for entry in (FP8, INT8, NVFP4)}
BY_COMFY_NAME = {entry.comfy_name: entry for entry in FORMATS.values()}
TAG = "comfy_quant"  # the tensor of a layer that names its format, as JSON
# most of the weights; embeddings, norms, heads, modulations and biases are not quantised
LARGE_MATRICES = {
    PLANNER: re.compile(r"language_model\.layers\.\d+\.(self_attn|mlp)\.\w+\.weight"),
    DIFFUSION: re.compile(r"transformer_blocks\.\d+\.(attn1|ff)\.[\w.]+\.weight"),
}

__all__ = ["FORMATS", "LARGE_MATRICES", "Format", "dequantise", "format_names", "quantise"]


def quantise(tensors: dict[str, Tensor], part: Part, name: str, source: str) -> dict[str, Tensor]:
    """A part's tensors with its LARGE_MATRICES in the format ``name``, a key of FORMATS.

    Raises GLMImageError if a matrix does not suit the format, or if the part is quantised already.
    """
    stored = format_names(tensors)
    if stored:
        raise GLMImageError(f"{source}: it must not be quantised yet (got {', '.join(sorted(stored))}); "
                            "convert the released folder")
    quantised = {}
    for key, tensor in tensors.items():
        if LARGE_MATRICES[part].fullmatch(key):
            quantised |= quantised_layer(key, tensor, FORMATS[name], source)
        else:
            quantised[key] = tensor
    return quantised


def quantised_layer(key: str, matrix: Tensor, chosen: Format, source: str) -> dict[str, Tensor]:
    """The tensors of one layer, including its tag, by their names in the file. key: the matrix's name there."""
    multiple = chosen.side_multiple
    if any(side % multiple for side in matrix.shape):
        raise GLMImageError(f"{source}: the sides of {key} must be multiples of {multiple} for {chosen.name} "
                            f"(got {' x '.join(map(str, matrix.shape))})")
    layer = key.removesuffix(WEIGHT)
    tensors = {**chosen.write(matrix.float()), TAG: text_to_tensor(json.dumps({"format": chosen.comfy_name}))}
    return {layer + name: tensor for name, tensor in tensors.items()}


def dequantise(tensors: dict[str, Tensor], name: str, source: str) -> Tensor:
    """The tensor ``name``, restored to float32 if it is quantised.

    Raises GLMImageError if its format is not in FORMATS, or if a tensor of its layer is missing.
    """
    layer = name.removesuffix(WEIGHT)
    comfy_name = format_name(tensors, layer)
    if comfy_name is None and tensors[name].element_size() > 1:
        return tensors[name]
    stored_format = BY_COMFY_NAME.get(comfy_name) if comfy_name else None
    if stored_format is None:
        found = comfy_name or f"{tensors[name].dtype} without {layer}{TAG}"
        raise GLMImageError(f"{source}: the format of {name} must be {' or '.join(BY_COMFY_NAME)} to be read "
                            f"outside ComfyUI (got {found})")
    return stored_format.read(layer_tensors(tensors, layer, stored_format.tensors, source))


def layer_tensors(tensors: dict[str, Tensor], layer: str, names: tuple[str, ...], source: str) -> dict[str, Tensor]:
    """A layer's tensors by their ``names`` in it. Raises GLMImageError if one is missing."""
    missing = [layer + name for name in names if layer + name not in tensors]
    if missing:
        raise GLMImageError(f"{source}: missing tensors: {', '.join(missing)}")
    return {name: tensors[layer + name] for name in names}


def format_name(tensors: dict[str, Tensor], layer: str) -> str | None:
    """ComfyUI's name for the format of a layer; None if it has no tag. layer: the prefix of its names, with the dot."""
    tag = tensors.get(layer + TAG)
    return None if tag is None else read_tag(tag, layer + TAG)


def format_names(tensors: dict[str, Tensor]) -> set[str]:
    """ComfyUI's names for all formats in a file."""
    return {read_tag(tag, name) for name, tag in tensors.items() if name.endswith(TAG)}


def read_tag(tag: Tensor, name: str) -> str:
    """The format that a tag names. name: the tag's own, for messages."""
    return parse_json(tensor_to_text(tag), name)["format"]
