"""How much memory a computation would take at its peak, counted on tensors without storage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside it: ``peak`` is the most that were alive at once.

    known: tensors that do not count. Works on the meta device, and only without gradients.
    """

    def __init__(self, known: Iterable[Tensor] = ()):
        super().__init__()
        self.known = {StorageWeakRef(tensor.untyped_storage()).cdata for tensor in known}
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, function: Callable, types: Sequence[type], args: tuple = (),
                           kwargs: dict | None = None) -> object:
        out = function(*args, **(kwargs or {}))
        self.alive = {key: (storage, size) for key, (storage, size) in self.alive.items() if not storage.expired()}
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                storage = StorageWeakRef(tensor.untyped_storage())
                if storage.cdata not in self.known:
                    self.alive.setdefault(storage.cdata, (storage, tensor.untyped_storage().nbytes()))
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return out
