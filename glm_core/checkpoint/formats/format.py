"""What a quantised format consists of, and what several formats share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

WEIGHT, SCALE = "weight", "weight_scale"  # names in a ComfyUI layer
SMALLEST_SCALE = torch.finfo(torch.float32).tiny  # for a matrix of zeros

Tensors = dict[str, Tensor]  # of a ComfyUI layer, by their names in it
Mark = dict[str, Any]  # the values of a layer's mark


def nothing_shared(matrix: Tensor) -> Tensors:
    return {}


@dataclass(frozen=True)
class Format:
    """One way to store a matrix in few bits.

    name: in ``convert --quantise`` and in file names.
    comfy_name: ComfyUI's name for it (comfy/quant_ops.py, QUANT_ALGOS).
    summary: size and use, for the help text of ``convert``.
    write: float32 rows [n, columns] and the matrix's ``shared`` tensors → the tensors of these rows, which ComfyUI's
        comfy-kitchen computes. n is a multiple of 128, except for the last rows of a matrix.
    read: the tensors of a layer and the values of its mark → float32 [rows, columns].
    tensors: the names of a layer's tensors.
    dtype: of the stored weight.
    shared: matrix [rows, columns] of any float type → the tensors that its rows share.
    mark: number of columns → what the mark says beside the format's name.
    mark_values: names of all such values that ``read`` knows.
    multiples: numbers that divide rows and columns.
    otherwise: the format of matrices whose sides are no multiples; None if they are refused.
    """

    name: str
    comfy_name: str
    summary: str
    write: Callable[[Tensor, Tensors], Tensors]
    read: Callable[[Tensors, Mark], Tensor]
    tensors: tuple[str, ...]
    dtype: torch.dtype
    shared: Callable[[Tensor], Tensors] = nothing_shared
    mark: Callable[[int], Mark] = lambda columns: {}
    mark_values: frozenset[str] = frozenset()
    multiples: tuple[int, int] = (1, 1)
    otherwise: Format | None = None

    def suits(self, matrix: Tensor) -> bool:
        return all(side % multiple == 0 for side, multiple in zip(matrix.shape, self.multiples))


def largest(matrix: Tensor) -> Tensor:
    """The largest magnitude, float32 []; unlike ``abs().amax()``, without a copy of the matrix."""
    least, most = matrix.aminmax()
    return torch.maximum(most, -least).float()


def read_scaled(layer: Tensors, mark: Mark) -> Tensor:
    """``read`` of a format whose numbers are multiplied by one scale for the whole matrix or one per row."""
    return layer[WEIGHT].float() * layer[SCALE].float().reshape(-1, 1)
