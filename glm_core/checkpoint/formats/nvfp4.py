"""NVIDIA's 4-bit floating point: each group of 16 numbers of a row has an fp8 scale, the matrix one float32 scale."""

import torch
from torch import Tensor

from .format import SCALE, SMALLEST_SCALE, WEIGHT, Format, Mark, Tensors, largest
from .fp8 import E4M3, E4M3_MAX
from .library import kitchen
from .tiles import from_tiles

TENSOR_SCALE = "weight_scale_2"
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])  # values of the lower three bits; the fourth is the sign
E2M1_MAX = 6
GROUP = 16  # numbers of a row that share a scale


def nvfp4_scale(matrix: Tensor) -> Tensors:
    """weight_scale_2: float32 []."""
    return {TENSOR_SCALE: (largest(matrix) / (E4M3_MAX * E2M1_MAX)).clamp(min=SMALLEST_SCALE)}


def write_nvfp4(rows: Tensor, shared: Tensors) -> Tensors:
    """weight: uint8 [rows, columns / 2], the first of two numbers in the high bits; weight_scale: fp8, in tiles."""
    weight, scale = kitchen().quantize_nvfp4(rows, shared[TENSOR_SCALE])
    return {WEIGHT: weight, SCALE: scale}


def read_nvfp4(layer: Tensors, mark: Mark) -> Tensor:
    """What ``write_nvfp4`` gave → float32 [rows, columns]."""
    packed = layer[WEIGHT]
    bits = torch.stack([packed >> 4, packed & 15], 2).flatten(1)
    groups = torch.cat((E2M1, -E2M1))[bits.int()].unflatten(1, (-1, GROUP))
    scales = from_tiles(layer[SCALE].view(E4M3).float(), *groups.shape[:2])
    return (groups * (scales * layer[TENSOR_SCALE])[..., None]).flatten(1)


NVFP4 = Format("nvfp4", "nvfp4", "4 bits, for Blackwell cards", write_nvfp4, read_nvfp4,
               (WEIGHT, SCALE, TENSOR_SCALE), torch.uint8, shared=nvfp4_scale, multiples=(GROUP, GROUP))
