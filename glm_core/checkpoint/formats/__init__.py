"""Quantised formats: large matrices in few bits, stored and tagged as ComfyUI's quantised layers read them.

ComfyUI's side is in comfy/quant_ops.py and comfy/ops.py. A new format is one module here and its value in FORMATS.
"""

import json
import re
from collections.abc import Container

from einops import EinopsError
from torch import Tensor

from ...errors import GLMImageError
from ...files import quote
from ..parts import DIFFUSION, PLANNER, Part
from ..text import text_to_tensor
from .format import WEIGHT, Format
from .fp8 import FP8
from .int8 import INT8
from .marks import COMPANIONS, TAG, add_tags, check_marks, read_tag, read_tags
from .nvfp4 import NVFP4

FORMATS = {entry.name: entry for entry in (FP8, INT8, NVFP4)}
BY_COMFY_NAME = {entry.comfy_name: entry for entry in FORMATS.values()}
MARK_VALUES = {"format", "full_precision_matrix_mult"}  # the second is about how a matrix is multiplied
# most of the weights; embeddings, norms, heads, modulations and biases are not quantised
LARGE_MATRICES = {
    PLANNER: re.compile(r"language_model\.layers\.\d+\.(self_attn|mlp)\.\w+\.weight"),
    DIFFUSION: re.compile(r"transformer_blocks\.\d+\.(attn1|ff)\.[\w.]+\.weight"),
}

__all__ = ["FORMATS", "LARGE_MATRICES", "Format", "add_tags", "belongs_to_format", "check_marks",
           "dequantise", "dequantise_all", "quantise",
           "read_tags"]


def quantise(tensors: dict[str, Tensor], part: Part, name: str, source: str) -> dict[str, Tensor]:
    """A part's tensors with its LARGE_MATRICES in the format ``name``, a key of FORMATS.

    Raises GLMImageError if a matrix does not suit the format, or if the part is quantised already.
    """
    stored = {mark["format"] for mark in read_tags(tensors, source).values()}
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
    """The tensor ``name``, restored to float32 if it is quantised or in fp8.

    Raises GLMImageError if its mark is not one of FORMATS, or if a tensor of its layer is missing.
    """
    layer = name.removesuffix(WEIGHT)
    if name != layer + WEIGHT or layer + TAG not in tensors:
        return tensors[name] if tensors[name].element_size() > 1 else tensors[name].float()
    mark = read_tag(tensors[layer + TAG], f"{source}: {layer}{TAG}")
    stored = BY_COMFY_NAME.get(mark["format"])
    further = {key: value for key, value in mark.items() if key not in MARK_VALUES and value}
    if stored is None or further:
        found = " with ".join([mark["format"], *(f"{key} {quote(value)}" for key, value in further.items())])
        raise GLMImageError(f"{source}: the format of {name} must be {' or '.join(BY_COMFY_NAME)} to be read "
                            f"outside ComfyUI (got {found})")
    if tensors[name].dtype != stored.dtype:
        raise GLMImageError(f"{source}: {name} must be {stored.dtype} for {mark['format']} (got {tensors[name].dtype})")
    layer_tensors = tensors_of_layer(tensors, layer, stored.tensors, source)
    try:
        return stored.read(layer_tensors)
    except (RuntimeError, EinopsError) as error:
        shapes = ", ".join(f"{key} {list(tensor.shape)}" for key, tensor in layer_tensors.items())
        raise GLMImageError(f"{source}: the tensors of {name} do not suit {mark['format']} (got {shapes})") from error


def dequantise_all(tensors: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    """All tensors restored as by ``dequantise``, without marks and scales."""
    layers = read_tags(tensors, source)
    return {name: dequantise(tensors, name, source) for name in tensors if not belongs_to_format(name, layers)}


def belongs_to_format(name: str, layers: Container[str]) -> bool:
    """True for marks and scales of the quantised ``layers``, whose names end with a dot."""
    layer, dot, last = name.rpartition(".")
    return layer + dot in layers and last in COMPANIONS


def tensors_of_layer(tensors: dict[str, Tensor], layer: str, names: tuple[str, ...], source: str) -> dict[str, Tensor]:
    """A layer's tensors by their ``names`` in it. Raises GLMImageError if one is missing."""
    missing = [layer + name for name in names if layer + name not in tensors]
    if missing:
        raise GLMImageError(f"{source}: missing tensors: {', '.join(missing)}")
    return {name: tensors[layer + name] for name in names}
