"""A part's large matrices → layers in a format, one at a time."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from ...errors import GLMImageError
from ..parts import Part
from ..text import text_to_tensor
from .foreign import Packed
from .format import WEIGHT, Format, Tensors
from .marks import TAG, read_tags
from .table import FORMATS, LARGE_MATRICES
from .tiles import TILE_ROWS

BLOCK_ROWS = 2 * TILE_ROWS  # of a matrix that are computed at once


@dataclass(frozen=True)
class LayerError:
    """How far a stored matrix is from the exact one: sums of squares of the differences and of the exact numbers."""

    difference: float
    exact: float

    @property
    def relative(self) -> float:
        return (self.difference / self.exact) ** 0.5 if self.exact else 0.0

    @staticmethod
    def total(errors: Iterable["LayerError"]) -> "LayerError":
        """That of several matrices together."""
        pairs = [(error.difference, error.exact) for error in errors]
        return LayerError(*map(sum, zip(*pairs)))


def choose_formats(tensors: dict[str, Tensor], part: Part, name: str, source: str) -> dict[str, Format]:
    """The format of each of a part's LARGE_MATRICES: ``name``, a key of FORMATS, or its ``otherwise``.

    Raises GLMImageError if a matrix does not suit the format, or if the part is quantised already.
    """
    stored = {mark["format"] for mark in read_tags(tensors, source).values()}
    if stored:
        raise GLMImageError(f"{source}: it must not be quantised yet (got {', '.join(sorted(stored))}); "
                            "convert the released folder")
    large = [key for key in tensors if LARGE_MATRICES[part].fullmatch(key)]
    return {key: suitable(FORMATS[name], key, tensors[key], source) for key in large}


def suitable(chosen: Format, key: str, matrix: Tensor, source: str) -> Format:
    if chosen.suits(matrix):
        return chosen
    if chosen.otherwise:
        return chosen.otherwise
    rows, columns = chosen.multiples
    multiples = f"of {columns}" if rows in (1, columns) else f"of {rows} and {columns}"
    sides = "columns" if rows == 1 else "sides"
    raise GLMImageError(f"{source}: the {sides} of {key} must be multiples {multiples} for {chosen.name} "
                        f"(got {' x '.join(map(str, matrix.shape))})")


def quantised_layout(tensors: dict[str, Tensor], formats: dict[str, Format]) -> dict[str, Tensor]:
    """What ``quantise`` will give, by name: new tensors have types and shapes but no numbers (device meta)."""
    layout, layer_layouts = {}, {}
    for key, tensor in tensors.items():
        if key not in formats:
            layout[key] = tensor
            continue
        kind = formats[key], tensor.shape
        if kind not in layer_layouts:  # few; the device meta is slow
            layer_layouts[kind] = layer_layout(*kind)
        layout |= named(key, layer_layouts[kind])
    return layout


def layer_layout(chosen: Format, shape: torch.Size) -> Tensors:
    """The tensors of a layer with a matrix of this shape, computed on the device meta."""
    shared = {name: tensor.to("meta") for name, tensor in chosen.shared(torch.zeros(1, shape[1])).items()}
    rows = chosen.write(torch.empty(shape, device="meta"), shared)
    return {**rows, **shared, TAG: tag(chosen, shape[1])}


def quantise(tensors: dict[str, Tensor], formats: dict[str, Format], errors: dict[str, LayerError],
             packed: Mapping[str, Packed] = MappingProxyType({})) -> Iterator[tuple[str, Tensor]]:
    """A part's tensors by name, large matrices in their ``formats``; ``errors`` is filled with those of each matrix.

    packed: matrices that are restored in place of tensors of their names, one at a time.
    """
    for key, tensor in tensors.items():
        if key in packed:
            tensor = packed[key].restore()
        if key not in formats:
            yield key, tensor
            continue
        layer, errors[key] = quantised_layer(key, tensor, formats[key])
        yield from layer.items()


def quantised_layer(key: str, matrix: Tensor, chosen: Format) -> tuple[Tensors, LayerError]:
    """The tensors of one layer, including its tag, by their names in the file, and the error of the matrix."""
    shared, mark = chosen.shared(matrix), chosen.mark(matrix.shape[1])
    blocks, difference, exact = [], 0.0, 0.0
    for rows in matrix.split(BLOCK_ROWS):
        rows = rows.float()
        blocks.append(chosen.write(rows, shared))
        restored = chosen.read(blocks[-1] | shared, mark)
        exact += square_sum(rows)
        difference += square_sum(restored.sub_(rows))
    joined = {name: torch.cat([block[name] for block in blocks]) for name in blocks[0]}
    return named(key, {**joined, **shared, TAG: tag(chosen, matrix.shape[1])}), LayerError(difference, exact)


def square_sum(matrix: Tensor) -> float:
    return torch.linalg.vector_norm(matrix).item() ** 2


def tag(chosen: Format, columns: int) -> Tensor:
    return text_to_tensor(json.dumps({"format": chosen.comfy_name, **chosen.mark(columns)}))


def named(key: str, layer: Tensors) -> Tensors:
    """A layer's tensors by their names in the file. key: the matrix's name there."""
    return {key.removesuffix(WEIGHT) + name: tensor for name, tensor in layer.items()}
