"""8-bit integers with one float32 scale per row."""

import torch
from torch import Tensor

from .format import SCALE, SMALLEST_SCALE, WEIGHT, Format, read_scaled

INT8_MAX = 127


def write_int8(matrix: Tensor) -> dict[str, Tensor]:
    """weight: int8 [rows, columns]; weight_scale: float32 [rows, 1]."""
    scale = (matrix.abs().amax(1, keepdim=True) / INT8_MAX).clamp(min=SMALLEST_SCALE)
    return {WEIGHT: (matrix / scale).round().to(torch.int8), SCALE: scale}


INT8 = Format("int8", "int8_tensorwise", "8 bits, for cards without fp8", write_int8, read_scaled, (WEIGHT, SCALE),
              torch.int8)
