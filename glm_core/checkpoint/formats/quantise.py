"""Large matrices in few bits, written and marked as ComfyUI's quantised layers read them (comfy/quant_ops.py, comfy/ops.py)."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import GLMImageError
from ..parts import DIFFUSION, PLANNER, QUANTISED, Part

# the bulk of the weights; embeddings, norms, heads, modulations and biases stay as they are
LAYERS = {
    PLANNER: re.compile(r"language_model\.layers\.\d+\.(self_attn|mlp)\.\w+\.weight"),
    DIFFUSION: re.compile(r"transformer_blocks\.\d+\.(attn1|ff)\.[\w.]+\.weight"),
}
WEIGHT, MARK, SCALE, SCALE_2 = "weight", "comfy_quant", "weight_scale", "weight_scale_2"
TINIEST = torch.finfo(torch.float32).tiny
FP8 = torch.float8_e4m3fn
FP8_MAX = torch.finfo(FP8).max
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])  # four bits: sign, two of exponent, one of mantissa
GROUP = 16  # numbers of nvfp4 that share a scale
TILE = 4, 32, 4  # rows of scales by 32 and by one, columns: the order in which matrix units read them (cuBLAS, block scaling factors)


@dataclass(frozen=True)
class Format:
    """mark: its name in ComfyUI. write: matrix → a layer's tensors by name. read: these → the float32 matrix."""

    mark: str
    write: Callable[[Tensor], dict[str, Tensor]]
    read: Callable[[dict[str, Tensor]], Tensor]


def write_fp8(matrix: Tensor) -> dict[str, Tensor]:
    """One scale a matrix."""
    scale = (matrix.abs().amax() / FP8_MAX).clamp(min=TINIEST)
    return {WEIGHT: (matrix / scale).to(FP8), SCALE: scale}


def write_int8(matrix: Tensor) -> dict[str, Tensor]:
    """One scale a row."""
    scale = (matrix.abs().amax(1, keepdim=True) / 127).clamp(min=TINIEST)
    return {WEIGHT: (matrix / scale).round().to(torch.int8), SCALE: scale}


def read_scaled(layer: dict[str, Tensor]) -> Tensor:
    return layer[WEIGHT].float() * layer[SCALE]


def write_nvfp4(matrix: Tensor) -> dict[str, Tensor]:
    """Two numbers a byte, the first in the high bits; one fp8 scale for 16 of a row, one float32 scale for these."""
    groups = matrix.unflatten(1, (-1, GROUP))
    whole = (matrix.abs().amax() / (FP8_MAX * E2M1[-1])).clamp(min=TINIEST)
    scales = (groups.abs().amax(2) / E2M1[-1] / whole).to(FP8)
    numbers = (groups / (scales.float() * whole).clamp(min=TINIEST)[..., None]).flatten(1)
    bits = torch.bucketize(numbers.abs(), (E2M1[1:] + E2M1[:-1]) / 2).byte() | (numbers < 0).byte() << 3
    return {WEIGHT: bits[:, ::2] << 4 | bits[:, 1::2], SCALE: to_tiles(scales), SCALE_2: whole}


def read_nvfp4(layer: dict[str, Tensor]) -> Tensor:
    packed = layer[WEIGHT]
    bits = torch.stack((packed >> 4, packed & 15), dim=2).flatten(1).long()
    numbers = torch.cat((E2M1, -E2M1))[bits].unflatten(1, (-1, GROUP))
    scales = from_tiles(layer[SCALE].view(FP8).float(), *numbers.shape[:2])
    return (numbers * (scales * layer[SCALE_2])[..., None]).flatten(1)


def to_tiles(scales: Tensor) -> Tensor:
    """Scales [rows, columns] padded to whole tiles, each of which is then 512 numbers in a row."""
    high, low, across = TILE
    rows, columns = scales.shape
    padded = torch.zeros(-(-rows // (high * low)) * high * low, -(-columns // across) * across, dtype=scales.dtype)
    padded[:rows, :columns] = scales
    tiles = padded.unflatten(1, (-1, across)).unflatten(0, (-1, high, low))  # [n, high, low, m, across]
    return tiles.permute(0, 3, 2, 1, 4).reshape(padded.shape)


def from_tiles(tiles: Tensor, rows: int, columns: int) -> Tensor:
    high, low, across = TILE
    numbers = tiles.reshape(tiles.shape[0] // (high * low), tiles.shape[1] // across, low, high, across)
    return numbers.permute(0, 3, 2, 1, 4).reshape(tiles.shape)[:rows, :columns]


FORMATS = dict(zip(QUANTISED, (
    Format("float8_e4m3fn", write_fp8, read_scaled),
    Format("int8_tensorwise", write_int8, read_scaled),
    Format("nvfp4", write_nvfp4, read_nvfp4),
), strict=True))
BY_MARK = {entry.mark: entry for entry in FORMATS.values()}


def quantise(tensors: dict[str, Tensor], part: Part, name: str) -> dict[str, Tensor]:
    """The tensors of a part in LAYERS, with its large matrices in one of FORMATS. Raises GLMImageError where nvfp4's groups do not fit."""
    chosen, quantised = FORMATS[name], {}
    for key, tensor in tensors.items():
        if not LAYERS[part].fullmatch(key):
            quantised[key] = tensor
            continue
        if chosen is FORMATS["nvfp4"] and any(side % GROUP for side in tensor.shape):
            raise GLMImageError(f"{part.title}: {key} has the sides {tuple(tensor.shape)}; nvfp4 wants multiples of {GROUP}")
        layer = key.removesuffix(WEIGHT)
        quantised |= {layer + suffix: value for suffix, value in chosen.write(tensor.float()).items()}
        quantised[layer + MARK] = torch.tensor(list(json.dumps({"format": chosen.mark}).encode()), dtype=torch.uint8)
    return quantised


def mark_of(tensors: dict[str, Tensor], layer: str) -> str | None:
    return json.loads(tensors[layer + MARK].numpy().tobytes())["format"] if layer + MARK in tensors else None


def marks(tensors: dict[str, Tensor]) -> set[str]:
    """Of all quantised layers."""
    return {mark_of(tensors, name.removesuffix(MARK)) for name in tensors if name.endswith(MARK)}


def dequantise(tensors: dict[str, Tensor], name: str, source: str) -> Tensor:
    """One tensor, float32 where it was quantised. Raises GLMImageError on formats that ``quantise`` does not write."""
    layer = name.removesuffix(WEIGHT)
    mark = mark_of(tensors, layer)
    if mark in BY_MARK:
        return BY_MARK[mark].read({suffix: tensors[layer + suffix] for suffix in (WEIGHT, SCALE, SCALE_2) if layer + suffix in tensors})
    if mark is None and tensors[name].element_size() > 1:
        return tensors[name]
    raise GLMImageError(f"{source}: {name} is quantised as {mark or f'{tensors[name].dtype} without {layer + MARK}'}; "
                        f"outside ComfyUI these can be read: {', '.join(BY_MARK)}")
