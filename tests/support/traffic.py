"""How many bytes a computation reads and writes outside its matrix products, counted on tensors without storage."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "linear", "embedding"}
NOTHING_MOVED = {"empty", "new_empty", "empty_like", "_unsafe_view", "_reshape_alias"}


def is_view(function: Callable) -> bool:
    """Whether the result of an aten operation is its input's memory, unchanged."""
    aliases = [value.alias_info for value in function._schema.returns]  # pyright: ignore[reportFunctionMemberAccess]
    return any(alias is not None and not alias.is_write for alias in aliases)


def size(tensors: Iterable[object]) -> int:
    """Bytes of these tensors, where what is broadcast counts once."""
    return sum(math.prod(side for side, stride in zip(tensor.shape, tensor.stride()) if stride) * tensor.itemsize
               for tensor in tensors if isinstance(tensor, Tensor))


class Traffic(TorchDispatchMode):
    """Adds up in ``moved`` the bytes of inputs and outputs of every operation inside it.

    Matrix products, table look-ups and views do not count, nor does attention if it is stood in for by an empty
    tensor. Works on the meta device, where operations are not fused, and under no_grad, not in inference mode.
    """

    def __init__(self):
        super().__init__()
        self.moved = 0

    def __torch_dispatch__(self, function: Callable, types: Sequence[type], args: tuple = (),
                           kwargs: dict | None = None) -> object:
        out = function(*args, **(kwargs or {}))
        name = function._schema.name.removeprefix("aten::")  # pyright: ignore[reportFunctionMemberAccess]
        if name not in PRODUCTS | NOTHING_MOVED and not is_view(function):
            self.moved += size(tree_leaves((args, kwargs))) + size(tree_leaves(out))
        return out
