"""One module's adapter: a LoRA, LoHa or LoKr, or a full difference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import NoReturn

import torch
from torch import Tensor

from ..errors import GLMImageError

UP, DOWN = "lora_up.weight", "lora_down.weight"
ALPHA, DORA_SCALE, DIFFERENCE, BIAS_DIFFERENCE = "alpha", "dora_scale", "diff", "diff_b"
LOHA = "hada_w1", "hada_w2"  # two products _a @ _b, multiplied element by element
LOKR = "lokr_w1", "lokr_w2"  # each a matrix or a product _a @ _b; their Kronecker product
FACTORS = [factor + half for factor in (*LOHA, *LOKR) for half in ("_a", "_b")]
KINDS = {UP, DOWN, ALPHA, DORA_SCALE, DIFFERENCE, BIAS_DIFFERENCE, *LOKR, *FACTORS}  # by ComfyUI's names

LONGEST_NAME = 200  # characters, in a message

Shape = tuple[int, ...]


def flat(tensor: Tensor) -> Shape:
    """Rows and columns of a matrix, or of a convolution's weight as a matrix."""
    return tensor.shape[0], tensor[0].numel()


def by(shape: Shape | None) -> str:
    if shape is None:
        return "none"
    return " x ".join(map(str, shape)) or "a single number"


def shown(name: str) -> str:
    """A name out of a file as it may stand in a message of one line."""
    return "".join(character if character.isprintable() else "?" for character in name[:LONGEST_NAME])


@dataclass(frozen=True)
class Adapter:
    """module: as the file names it. tensors: by kind. source: of the file, for messages."""

    module: str
    tensors: dict[str, Tensor]
    source: str

    @property
    def rank(self) -> int | None:
        """Of a LoRA; None for others."""
        down = self.tensors.get(DOWN)
        return None if down is None or not down.ndim else down.shape[0]

    def with_alpha(self, alpha: float) -> Adapter:
        return replace(self, tensors={**self.tensors, ALPHA: torch.tensor(alpha)})

    def check(self, weight: Shape, bias: Shape | None) -> None:
        """Raise GLMImageError unless this is complete and suits a weight and a bias of these shapes."""
        columns = torch.Size(weight[1:]).numel()
        shape = self.shape()
        if shape not in (None, (weight[0], columns), weight):
            self.fail(f"must change a matrix of {by(weight)} (got {by(shape)})")
        changed = self.tensors.get(BIAS_DIFFERENCE)
        if shape is None and changed is None:
            self.fail(f"must have a change of weight or bias beside {', '.join(sorted(self.tensors))}")
        if changed is not None and tuple(changed.shape) != bias:
            self.fail(f"must change a bias of {by(bias)} (got {by(tuple(changed.shape))})")
        alpha = self.tensors.get(ALPHA)
        if alpha is not None and not (alpha.numel() == 1 and isfinite(alpha)):
            self.fail(f"must have one finite number as alpha (got {alpha.tolist()})")
        scale = self.tensors.get(DORA_SCALE)
        if scale is not None and scale.numel() not in (weight[0], columns):
            self.fail(f"must have a {DORA_SCALE} for each of {weight[0]} rows (got {by(tuple(scale.shape))})")
        for kind, tensor in self.tensors.items():
            if kind != ALPHA:
                self.check_numbers(kind, tensor)

    def check_numbers(self, kind: str, tensor: Tensor) -> None:
        """8-bit numbers without a scale, or an overflow of the training, would draw noise."""
        if not tensor.is_floating_point():
            self.fail(f"must have floating-point numbers as {kind} (got {tensor.dtype})")
        if not tensor.float().isfinite().all():
            self.fail(f"must have finite numbers as {kind} (got NaN or infinity)")

    def shape(self) -> Shape | None:
        """Of the change to the weight, as a matrix but for a full difference; None without one."""
        shapes = []
        if self.tensors.keys() & {UP, DOWN}:
            shapes.append(self.product(UP, DOWN))
        if self.has(LOHA):
            shapes.append(self.same(self.factor(LOHA[0]), self.factor(LOHA[1])))
        if self.has(LOKR):
            (rows, columns), (inner_rows, inner_columns) = (self.factor(name) for name in LOKR)
            shapes.append((rows * inner_rows, columns * inner_columns))
        if DIFFERENCE in self.tensors:
            shapes.append(tuple(self.tensors[DIFFERENCE].shape))
        if len(shapes) > 1:
            self.fail(f"must have one kind of adapter (got {', '.join(sorted(self.tensors))})")
        return shapes[0] if shapes else None

    def has(self, factors: tuple[str, ...]) -> bool:
        return any(kind.startswith(factors) for kind in self.tensors)

    def factor(self, name: str) -> Shape:
        """Of a factor that is there as a matrix, or as the product of its halves."""
        return flat(self.matrix(name)) if name in self.tensors else self.product(f"{name}_a", f"{name}_b")

    def product(self, left: str, right: str) -> Shape:
        (rows, rank), (other_rank, columns) = flat(self.matrix(left)), flat(self.matrix(right))
        if rank != other_rank:
            self.fail(f"must have one rank (got {rank} in {left}, {other_rank} in {right})")
        return rows, columns

    def same(self, first: Shape, second: Shape) -> Shape:
        if first != second:
            self.fail(f"must multiply matrices of one size (got {by(first)} and {by(second)})")
        return first

    def matrix(self, kind: str) -> Tensor:
        tensor = self.tensors.get(kind)
        if tensor is None:
            self.fail(f"must have {kind} beside {', '.join(sorted(self.tensors))}")
        if tensor.ndim < 2 or not tensor.numel():
            self.fail(f"must have a matrix as {kind} (got {by(tuple(tensor.shape))})")
        return tensor

    def fail(self, message: str) -> NoReturn:
        raise GLMImageError(f"{self.source}: {shown(self.module)} {message}")
