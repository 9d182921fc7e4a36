"""8-bit floating point with one float32 scale for the whole matrix."""

import torch
from torch import Tensor

from .format import SCALE, SMALLEST_SCALE, WEIGHT, Format, read_scaled

E4M3 = torch.float8_e4m3fn
E4M3_MAX = torch.finfo(E4M3).max


def write_fp8(matrix: Tensor) -> dict[str, Tensor]:
    """weight: float8_e4m3fn [rows, columns]; weight_scale: float32 []."""
    scale = (matrix.abs().amax() / E4M3_MAX).clamp(min=SMALLEST_SCALE)
    return {WEIGHT: (matrix / scale).to(E4M3), SCALE: scale}


FP8 = Format("fp8", "float8_e4m3fn", "8 bits", write_fp8, read_scaled, (WEIGHT, SCALE), E4M3)
