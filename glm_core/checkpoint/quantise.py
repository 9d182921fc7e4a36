"""Weights in fp8 with one scale a tensor, written and marked as ComfyUI's quantised layers read them (comfy/quant_ops.py, comfy/ops.py)."""

import json
import re

import torch
from torch import Tensor

from ..errors import GLMImageError
from .parts import DIFFUSION, PLANNER, Part

FORMAT, DTYPE = "float8_e4m3fn", torch.float8_e4m3fn
# the bulk of the weights; embeddings, norms, heads, modulations and biases stay as they are
LAYERS = {
    PLANNER: re.compile(r"language_model\.layers\.\d+\.(self_attn|mlp)\.\w+\.weight"),
    DIFFUSION: re.compile(r"transformer_blocks\.\d+\.(attn1|ff)\.[\w.]+\.weight"),
}
MARK, SCALE = "comfy_quant", "weight_scale"


def quantise(tensors: dict[str, Tensor], part: Part) -> dict[str, Tensor]:
    """The tensors of a part in LAYERS, with its large matrices in fp8."""
    quantised = {}
    for name, tensor in tensors.items():
        if LAYERS[part].fullmatch(name):
            layer = name.removesuffix("weight")
            scale = (tensor.abs().amax().float() / torch.finfo(DTYPE).max).clamp(min=torch.finfo(torch.float32).tiny)
            quantised[layer + SCALE] = scale
            quantised[layer + MARK] = torch.tensor(list(json.dumps({"format": FORMAT}).encode()), dtype=torch.uint8)
            tensor = (tensor.float() / scale).to(DTYPE)
        quantised[name] = tensor
    return quantised


def dequantise(tensors: dict[str, Tensor], name: str, where: str) -> Tensor:
    """One tensor, float32 where it was in fp8. Raises GLMImageError on other formats, which only ComfyUI's layers read."""
    layer = name.removesuffix("weight")
    if layer + MARK in tensors:
        found = json.loads(tensors[layer + MARK].numpy().tobytes())["format"]
        if found == FORMAT:
            return tensors[name].float() * tensors[layer + SCALE]
    elif tensors[name].element_size() > 1:
        return tensors[name]
    else:
        found = f"{tensors[name].dtype} without {layer + MARK}"
    raise GLMImageError(f"{where}: {name} is quantised as {found}; outside ComfyUI only {FORMAT} with its scale can be read")
