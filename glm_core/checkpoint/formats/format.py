"""What a quantised format consists of, and what several formats share."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

WEIGHT, SCALE = "weight", "weight_scale"  # names in a ComfyUI layer
SMALLEST_SCALE = torch.finfo(torch.float32).tiny  # for a matrix of zeros


@dataclass(frozen=True)
class Format:
    """One way to store a matrix in few bits.

    name: in ``convert --quantise`` and in file names.
    comfy_name: ComfyUI's name for it (comfy/quant_ops.py, QUANT_ALGOS).
    summary: size and use, for the help text of ``convert``.
    write: float32 matrix [rows, columns] → the tensors of a ComfyUI layer, by their names in the layer.
    read: these tensors → float32 [rows, columns].
    tensors: the names of these tensors.
    dtype: of the stored weight.
    side_multiple: rows and columns must be multiples of this.
    """

    name: str
    comfy_name: str
    summary: str
    write: Callable[[Tensor], dict[str, Tensor]]
    read: Callable[[dict[str, Tensor]], Tensor]
    tensors: tuple[str, ...]
    dtype: torch.dtype
    side_multiple: int = 1


def read_scaled(layer: dict[str, Tensor]) -> Tensor:
    """``read`` of a format whose numbers are multiplied by one scale for the whole matrix or one per row."""
    return layer[WEIGHT].float() * layer[SCALE].float().reshape(-1, 1)
