"""A safetensors file written tensor by tensor, so that they need not be in memory together."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from ..errors import GLMImageError
from ..files import LENGTH_BYTES

NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64", "int32": "I32",
         "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "float8_e4m3fn": "F8_E4M3",
         "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0"}
ALIGNED = 8  # bytes; where the first tensor starts

OnBytes = Callable[[int], object]  # called with the number of bytes just written


def write_stream(path: Path, layout: dict[str, Tensor], tensors: Iterable[tuple[str, Tensor]],
                 metadata: dict[str, str], on_bytes: OnBytes = lambda count: None) -> None:
    """Write ``tensors``, in any order; ``path`` appears, or is replaced, when all are written.

    layout: tensors of the same names, types and shapes on any device; their numbers do not matter. Raises GLMImageError
    if another run began to write the same file meanwhile.
    """
    header, places = make_header(layout, metadata)
    unfinished = unfinished_path(path)
    unfinished.unlink(missing_ok=True)
    file = unfinished.open("xb")
    own = os.fstat(file.fileno())
    try:
        with file:
            on_bytes(file.write(header))
            for name, tensor in tensors:
                check_layout(name, tensor, layout)
                file.seek(len(header) + places.pop(name))
                on_bytes(file.write(bytes_of(tensor)))
        if places:
            raise ValueError(f"tensors of the layout must all be written (got none of {', '.join(places)})")
        if not is_file_of(unfinished, own):
            raise GLMImageError(f"{path}: two runs must not write it at the same time (got another that began later)")
        os.replace(unfinished, path)
    except BaseException:
        if is_file_of(unfinished, own):
            unfinished.unlink()
        raise


def is_file_of(path: Path, status: os.stat_result) -> bool:
    """Whether the very file of this status is at ``path``."""
    return path.exists() and os.path.samestat(path.stat(), status)


def unfinished_path(path: Path) -> Path:
    """Where a file is written before it appears at ``path``."""
    return path.with_name(path.name + ".part")


def file_size(layout: dict[str, Tensor], metadata: dict[str, str]) -> int:
    """Bytes of the file that ``write_stream`` writes."""
    return len(make_header(layout, metadata)[0]) + sum(size_of(tensor) for tensor in layout.values())


def size_of(tensor: Tensor) -> int:
    """Bytes of a tensor on any device."""
    return tensor.numel() * tensor.element_size()


def make_header(layout: dict[str, Tensor], metadata: dict[str, str]) -> tuple[bytes, dict[str, int]]:
    """The file's first bytes, and where each tensor starts after them.

    As safetensors does it, types of more bytes come first: every tensor is then aligned to its type.
    """
    entries, places, end = {}, {}, 0
    for name in sorted(layout, key=lambda name: (-layout[name].element_size(), name)):
        tensor, start = layout[name], end
        end += size_of(tensor)
        entries[name] = {"dtype": NAMES[str(tensor.dtype).removeprefix("torch.")], "shape": list(tensor.shape),
                         "data_offsets": [start, end]}
        places[name] = start
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNED)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text, places


def check_layout(name: str, tensor: Tensor, layout: dict[str, Tensor]) -> None:
    planned = layout[name]
    if (tensor.dtype, tensor.shape) != (planned.dtype, planned.shape):
        raise ValueError(f"{name} must be {planned.dtype} {list(planned.shape)} "
                         f"(got {tensor.dtype} {list(tensor.shape)})")


def bytes_of(tensor: Tensor) -> memoryview:
    return tensor.contiguous().flatten().view(torch.uint8).numpy().data
