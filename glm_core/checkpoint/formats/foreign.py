"""What a format of another tool consists of. ComfyUI does not compute in these; ``convert`` restores their matrices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...errors import GLMImageError
from ...files import quote
from .format import Tensors

Config = dict[str, Any]  # a quantization_config
UNSET = None, False, "none", [], {}  # values that mean the field is not used


@dataclass(frozen=True)
class Packed:
    """A quantised matrix that has not been restored yet.

    shape: rows and columns of the matrix.
    stored: the tensors that it is restored from, by their names in the layer.
    restore: → bfloat16 [rows, columns].
    """

    shape: tuple[int, int]
    stored: Tensors
    restore: Callable[[], Tensor]


@dataclass(frozen=True)
class Foreign:
    """A format of another tool.

    tool: its name.
    method: the ``quant_method`` of its configs.
    mark: the name of a tensor that all of its layers have, and no others.
    tensors: the names of a layer's tensors.
    fixed: fields of its configs, and the values that they may have. A field may be missing.
    free: fields of its configs that do not change what is stored in a layer.
    open: a layer's tensors by their names in it, the matrix's name in the tool's files and the config → the matrix.
        Raises ValueError if the tensors do not suit each other or the config.
    """

    tool: str
    method: str
    mark: str
    tensors: frozenset[str]
    fixed: dict[str, tuple]
    free: frozenset[str]
    open: Callable[[Tensors, str, Config], Packed]

    def check_config(self, config: Config, source: str) -> None:
        """Raise GLMImageError, naming the field, if the config asks for what ``open`` does not know."""
        for field, value in config.items():
            if field in self.fixed and value not in self.fixed[field]:
                allowed = " or ".join(map(quote, self.fixed[field]))
                raise GLMImageError(f"{source}: {field} of {self.tool} must be {allowed} to be converted "
                                    f"(got {quote(value)})")
            if field not in self.fixed and field not in self.free and value not in UNSET:
                raise GLMImageError(f"{source}: a config of {self.tool} must have no {quote(field)} to be converted "
                                    f"(got {quote(value)})")


def check(suits: bool, wanted: str) -> None:
    """Raise ValueError unless a layer ``suits``."""
    if not suits:
        raise ValueError(wanted)
