"""4-bit integers of rotated matrices: with one scale per row, or with a codebook and scales for groups of 16."""

import torch
from torch import Tensor

from .format import SCALE, WEIGHT, Format, Mark, Tensors
from .fp8 import E4M3
from .int8 import INT8, INT8_MAX
from .library import kitchen
from .rotation import GROUP, GROUP_NAME, rotate_back

ROW_GROUP = 64  # the rotated columns that the matrix units of w4a4 take at once, and the smaller group that is rotated
SCALED_GROUP = 16  # numbers of a row that share a scale in w4a8
GROUP_SCALE, ROW_SCALE, CODEBOOK = "weight_s_rel", "weight_s_channel", "weight_codebook"
SAMPLED_ROWS = 1024  # from which the codebook is chosen


def write_w4a4(rows: Tensor, shared: Tensors) -> Tensors:
    """weight: int8 [rows, columns / 2], the first of two numbers in the low bits; weight_scale: float32 [rows]."""
    weight, scale = kitchen().quantize_convrot_w4a4_weight(rows, rotated_group(rows.shape[1]))
    return {WEIGHT: weight, SCALE: scale}


def rotated_group(columns: int) -> int:
    return GROUP if columns % GROUP == 0 else ROW_GROUP


def read_w4a4(layer: Tensors, mark: Mark) -> Tensor:
    signed = (unpack(layer[WEIGHT]) ^ 8) - 8
    return rotate_back(signed * layer[SCALE].float().reshape(-1, 1), mark)


def unpack(packed: Tensor) -> Tensor:
    """Bytes [rows, columns / 2] → int32 [rows, columns], 0...15."""
    pairs = packed.view(torch.uint8)
    return torch.stack([pairs & 15, pairs >> 4], 2).flatten(1).int()


def choose_codebook(matrix: Tensor) -> Tensors:
    """weight_codebook: float32 [16], chosen by comfy-kitchen from rows spread over the matrix."""
    step = -(-len(matrix) // SAMPLED_ROWS)
    sample = matrix[::step].float()
    return {CODEBOOK: kitchen().quantize_w4a8_int8_weight(sample, SCALED_GROUP, GROUP)[4]}


def write_w4a8(rows: Tensor, shared: Tensors) -> Tensors:
    """weight: as in ``write_w4a4``; weight_s_rel: fp8 [rows, columns / 16]; weight_s_channel: float32 [rows]."""
    weight, group_scale, row_scale, _, _ = kitchen().quantize_w4a8_int8_weight(
        rows, SCALED_GROUP, GROUP, codebook_tensor=shared[CODEBOOK])
    return {WEIGHT: weight, GROUP_SCALE: group_scale, ROW_SCALE: row_scale}


def read_w4a8(layer: Tensors, mark: Mark) -> Tensor:
    """The products of codebook and group scale are rounded to int8, since ComfyUI multiplies in int8."""
    numbers = layer[CODEBOOK].float()[unpack(layer[WEIGHT])]
    groups = numbers.unflatten(1, (-1, mark.get("group_size", SCALED_GROUP)))
    levels = (groups * layer[GROUP_SCALE].view(E4M3).float()[..., None]).flatten(1).round().clamp(-INT8_MAX, INT8_MAX)
    return rotate_back(levels * layer[ROW_SCALE].float()[:, None], mark)


W4A8 = Format("w4a8", "asym_w4a8_int8", "4 bits, computed in int8, for cards since RTX 30", write_w4a8, read_w4a8,
              (WEIGHT, GROUP_SCALE, ROW_SCALE, CODEBOOK), torch.int8, shared=choose_codebook,
              mark=lambda columns: {"group_size": SCALED_GROUP, GROUP_NAME: GROUP},
              mark_values=frozenset({"group_size", GROUP_NAME}), multiples=(1, GROUP), otherwise=INT8)
W4A4 = Format("w4a4", "convrot_w4a4", "4 bits, activations too: the coarsest", write_w4a4, read_w4a4, (WEIGHT, SCALE),
              torch.int8, mark=lambda columns: {GROUP_NAME: rotated_group(columns)},
              mark_values=frozenset({GROUP_NAME, "linear_dtype"}), multiples=(1, ROW_GROUP))
