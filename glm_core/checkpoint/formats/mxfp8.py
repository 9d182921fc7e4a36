"""8-bit floating point of the OCP microscaling standard: each group of 32 numbers of a row has a power of two."""

import torch
from torch import Tensor

from .format import SCALE, WEIGHT, Format, Mark, Tensors
from .fp8 import E4M3
from .library import kitchen
from .tiles import from_tiles

GROUP = 32  # numbers of a row that share a scale
MANTISSA_BITS = 23  # of float32, whose exponent is biased by 127 as that of the scales


def write_mxfp8(rows: Tensor, shared: Tensors) -> Tensors:
    """weight: float8_e4m3fn [rows, columns]; weight_scale: uint8, the exponents plus 127, in tiles."""
    weight, scale = kitchen().quantize_mxfp8(rows)
    return {WEIGHT: weight, SCALE: scale.view(torch.uint8)}


def read_mxfp8(layer: Tensors, mark: Mark) -> Tensor:
    groups = layer[WEIGHT].float().unflatten(1, (-1, GROUP))
    exponents = from_tiles(layer[SCALE].view(torch.uint8).int(), *groups.shape[:2])
    scales = (exponents << MANTISSA_BITS).view(torch.float32)
    return (groups * scales[..., None]).flatten(1)


MXFP8 = Format("mxfp8", "mxfp8", "8 bits, for Blackwell cards", write_mxfp8, read_mxfp8, (WEIGHT, SCALE), E4M3,
               multiples=(GROUP, GROUP))
