"""Layers of other tools' formats, found by a config's ``quant_method`` and by their names → matrices to restore."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...errors import GLMImageError
from ...files import quote, reason
from .autoround import AUTOROUND
from .bitsandbytes import BNB_INT8, NF4
from .foreign import Config, Foreign, Packed, check
from .format import WEIGHT, Tensors
from .sdnq import SDNQ

FOREIGN = {"SDNQ": SDNQ, "AutoRound int4": AUTOROUND, "bitsandbytes nf4": NF4, "bitsandbytes int8": BNB_INT8}
BIAS = "bias"  # in a layer, beside the format's tensors
Result = TypeVar("Result")


def formats_of(stated: Any) -> list[Foreign]:
    """The formats of the tool that a quantization_config names; none if it is not known."""
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    return [entry for entry in FOREIGN.values() if entry.method == method]


def open_layers(tensors: dict[str, Tensor], stated: Config, source: str) -> tuple[dict[str, Tensor], dict[str, Packed]]:
    """A part's tensors with a matrix in the place of each layer's tensors, and what restores these matrices, by name.

    The matrices are bfloat16 and have no numbers (device meta). Raises GLMImageError, naming what was found, if the
    config or a layer is of another kind than its format knows.
    """
    opened: dict[str, Packed] = {}
    taken: set[str] = set()
    for entry in formats_of(stated):
        entry.check_config(stated, source)
        for layer, found in layers_of(tensors, entry.mark):
            check_names(found, entry, layer, source)
            opened[layer + WEIGHT] = open_layer(entry, layer, found, stated, source)
            taken |= {layer + name for name in found if name != BIAS}
    plain = {name: tensor for name, tensor in tensors.items() if name not in taken}
    return plain | {name: torch.empty(packed.shape, dtype=torch.bfloat16, device="meta")
                    for name, packed in opened.items()}, opened


def layers_of(tensors: dict[str, Tensor], mark: str) -> Iterator[tuple[str, Tensors]]:
    """Layers that have a tensor ``mark``, each with its tensors by their names in it."""
    layers: dict[str, Tensors] = {name.removesuffix(mark): {} for name in tensors if name.endswith(f".{mark}")}
    for name, tensor in tensors.items():
        steps = name.split(".")
        for i in range(1, len(steps)):
            layer = ".".join(steps[:i]) + "."
            if layer in layers:
                layers[layer][name.removeprefix(layer)] = tensor
    yield from layers.items()


def check_names(found: Tensors, entry: Foreign, layer: str, source: str) -> None:
    unknown = [name for name in found if name not in entry.tensors and name != BIAS]
    if unknown:
        raise GLMImageError(f"{source}: a layer of {entry.tool} must have only {', '.join(sorted(entry.tensors))} and "
                            f"a bias to be converted (got {layer}{unknown[0]})")


def open_layer(entry: Foreign, layer: str, found: Tensors, stated: Config, source: str) -> Packed:
    """``entry.open`` of one layer. It and ``restore`` raise GLMImageError if the tensors do not suit the format."""
    full = layer + WEIGHT

    def named(action: Callable[[], Result]) -> Result:
        try:
            return action()
        except (GLMImageError, RuntimeError, ValueError, TypeError, LookupError, ArithmeticError,
                AttributeError) as error:
            shapes = ", ".join(f"{name} {tensor.dtype} {list(tensor.shape)}" for name, tensor in found.items())
            raise GLMImageError(f"{source}: {full} cannot be converted from {entry.tool}: "
                                f"{reason(error)} (got {quote(shapes)})") from error

    packed = named(lambda: with_sides(entry.open(found, full, stated)))
    return replace(packed, restore=lambda: named(lambda: finite(packed.restore())))


def with_sides(packed: Packed) -> Packed:
    check(all(type(side) is int and side > 0 for side in packed.shape), f"its shape must not be {list(packed.shape)}")
    return packed


def finite(matrix: Tensor) -> Tensor:
    check(bool(matrix.isfinite().all()), "every number must be finite")
    return matrix
