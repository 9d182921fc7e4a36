"""8-bit floating point with one float32 scale for the whole matrix."""

import torch
from torch import Tensor

from .format import SCALE, SMALLEST_SCALE, WEIGHT, Format, Tensors, largest, read_scaled
from .library import kitchen

E4M3 = torch.float8_e4m3fn
E4M3_MAX = torch.finfo(E4M3).max


def fp8_scale(matrix: Tensor) -> Tensors:
    """weight_scale: float32 []."""
    return {SCALE: (largest(matrix) / E4M3_MAX).clamp(min=SMALLEST_SCALE)}


def write_fp8(rows: Tensor, shared: Tensors) -> Tensors:
    """weight: float8_e4m3fn [rows, columns]."""
    return {WEIGHT: kitchen().quantize_per_tensor_fp8(rows, shared[SCALE], E4M3)}


FP8 = Format("fp8", "float8_e4m3fn", "8 bits", write_fp8, read_scaled, (WEIGHT, SCALE), E4M3, shared=fp8_scale)
