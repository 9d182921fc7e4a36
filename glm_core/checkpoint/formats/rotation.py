"""ConvRot: groups of neighbouring columns are rotated by a Hadamard matrix, which spreads large numbers over the group.

The rotation is its own inverse. ComfyUI rotates the activations likewise (comfy-kitchen, tensor/int8_utils.py).
"""

import torch
from torch import Tensor

from .format import Mark

GROUP = 256  # columns; ComfyUI's default, and the only size for which all of its kernels exist
GROUP_NAME = "convrot_groupsize"  # in a mark
GROUPS = 4, 16, 64, 256, 1024


def rotate_back(matrix: Tensor, mark: Mark) -> Tensor:
    """float32 [rows, columns], rotated as its mark says → the matrix itself. Raises ValueError for unknown sizes."""
    size = mark.get(GROUP_NAME, GROUP)
    if size not in GROUPS:
        raise ValueError(f"{GROUP_NAME} must be one of {GROUPS} (got {size!r})")
    return (matrix.unflatten(1, (-1, size)) @ hadamard(size)).flatten(1)


def hadamard(size: int) -> Tensor:
    """[size, size] for a power of four: the regular Hadamard matrix of order 4, times itself."""
    regular = torch.tensor([[1.0, 1, 1, -1], [1, 1, -1, 1], [1, -1, 1, 1], [-1, 1, 1, 1]]) / 2
    result = regular
    while len(result) < size:
        result = torch.kron(result, regular)
    return result
