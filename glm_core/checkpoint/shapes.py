"""Sides of tensors, by name."""

from torch import Tensor

from ..errors import GLMImageError


def count(tensors: dict[str, Tensor], pattern: str) -> int:
    """How many tensors are named ``pattern`` with 0, 1, 2 … in its braces, up to the first gap."""
    n = 0
    while pattern.format(n) in tensors:
        n += 1
    return n


def side(tensors: dict[str, Tensor], name: str, dimension: int, source: str) -> int:
    """Length of a tensor's side. Raises GLMImageError if the tensor is missing or has fewer sides."""
    if name not in tensors:
        raise GLMImageError(f"{source}: missing tensors: {name}")
    shape = tensors[name].shape
    if len(shape) <= dimension:
        raise GLMImageError(f"{source}: {name} must have more sides (got {list(shape)})")
    return shape[dimension]


def rows(tensors: dict[str, Tensor], name: str, source: str) -> int:
    return side(tensors, name, 0, source)
