"""8-bit integers with one float32 scale per row, plain and rotated."""

import torch
from torch import Tensor

from .format import SCALE, WEIGHT, Format, Mark, Tensors, read_scaled
from .library import kitchen
from .rotation import GROUP, GROUP_NAME, rotate_back


def write_int8(rows: Tensor, shared: Tensors) -> Tensors:
    """weight: int8 [rows, columns]; weight_scale: float32 [rows, 1]."""
    weight, scale = kitchen().quantize_int8_rowwise(rows)
    return {WEIGHT: weight, SCALE: scale}


def write_rotated(rows: Tensor, shared: Tensors) -> Tensors:
    """As ``write_int8``, of the rotated rows."""
    layout = kitchen().tensor.TensorWiseINT8Layout
    weight, values = layout.quantize(rows, per_channel=True, convrot=True, convrot_groupsize=GROUP)
    return {WEIGHT: weight, SCALE: values.scale}


def read_int8(layer: Tensors, mark: Mark) -> Tensor:
    matrix = read_scaled(layer, mark)
    return rotate_back(matrix, mark) if mark.get("convrot") else matrix


INT8_MAX = 127
MARK_VALUES = frozenset({"convrot", GROUP_NAME})
INT8 = Format("int8", "int8_tensorwise", "8 bits, for all cards since RTX 20", write_int8, read_int8, (WEIGHT, SCALE),
              torch.int8, mark_values=MARK_VALUES)
INT8_CONVROT = Format("int8_convrot", "int8_tensorwise", "int8 of rotated matrices, a little more precise",
                      write_rotated, read_int8, (WEIGHT, SCALE), torch.int8, mark_values=MARK_VALUES,
                      mark=lambda columns: {"convrot": True, GROUP_NAME: GROUP}, multiples=(1, GROUP), otherwise=INT8)
