"""Files that others wrote: every fault is one line, found in bounded time and memory."""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import load

from .errors import GLMImageError

MOST_TEXT = 128 * 2**20  # bytes; the released tokenizer.json has 24 MB
MOST_HEADER = 16 * 2**20  # bytes; the released planner's has 0.1 MB
LENGTH_BYTES = 8  # at the start of a safetensors file: the length of its header
# those that torch has; safetensors knows packed types of fewer bits, too
DTYPES = {"BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64", "F16", "BF16", "F32", "F64", "F8_E4M3",
          "F8_E5M2", "F8_E8M0", "C64"}
LONGEST_QUOTE = 120  # characters of a bad value in a message
LONGEST_REASON = 300  # characters of another library's message


def check_file(path: str | os.PathLike, source: str) -> Path:
    """The path of an ordinary file. Raises GLMImageError if it is something else: a FIFO would block for ever."""
    path = Path(path)
    if not path.is_file():
        raise GLMImageError(f"{source}: must be a file (got {describe_path(path)})")
    return path


def describe_path(path: Path) -> str:
    """What is at a path that is no file."""
    if path.is_dir():
        return "a folder"
    if "\0" in str(path):
        return "a name with a NUL character"
    return "a device, pipe or socket" if os.path.exists(path) else "no such file"


def read_text(path: str | os.PathLike, source: str, most: int = MOST_TEXT) -> str:
    """The UTF-8 text of a file of at most ``most`` bytes. Raises GLMImageError on any other file."""
    path = check_file(path, source)
    size = path.stat().st_size
    if size > most:
        raise GLMImageError(f"{source}: must have at most {most} bytes (got {size})")
    return decode(path.read_bytes(), source)


def decode(data: bytes, source: str) -> str:
    try:
        return data.decode("utf-8-sig")  # Windows programs like to begin with a byte order mark
    except UnicodeDecodeError as error:
        raise GLMImageError(f"{source}: must be text in UTF-8 ({error})") from error


def parse_value(text: str, source: str) -> Any:
    """Any JSON value. Raises GLMImageError if ``text`` is not JSON, or nested too deeply to be read."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise GLMImageError(f"{source}: not valid JSON (nested too deeply)") from error
    except ValueError as error:  # also a number of too many digits
        raise GLMImageError(f"{source}: not valid JSON ({error})") from error


def parse_json(text: str, source: str) -> dict:
    """A JSON object. Raises GLMImageError if ``text`` is anything else."""
    value = parse_value(text, source)
    if not isinstance(value, dict):
        raise GLMImageError(f"{source}: must be a JSON object (got {type(value).__name__})")
    return value


def read_json(path: Path) -> dict:
    return parse_json(read_text(path, str(path)), str(path))


def quote(value: Any) -> str:
    """A value for a message, cut if it is long."""
    return shorten(repr(value), LONGEST_QUOTE)


def reason(error: Exception) -> str:
    """What another library says of a file, on one line and cut if it is long."""
    return shorten(" ".join(str(error).split()) or type(error).__name__, LONGEST_REASON)


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def read_metadata(path: str | os.PathLike, source: str) -> dict[str, str]:
    """The metadata of a safetensors file whose tensors are complete and of types that torch has.

    Raises GLMImageError if the file is none, ends too early, or has bytes after its last tensor.
    """
    with check_file(path, source).open("rb") as file:
        check_length(file, source)
    try:
        with safe_open(path, framework="pt") as opened:
            return opened.metadata() or {}
    except SafetensorError as error:
        raise GLMImageError(f"{source}: not a valid safetensors file ({reason(error)})") from error


def read_tensors(path: str | os.PathLike, source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors by name, and the metadata. Raises GLMImageError as ``read_metadata`` does.

    The tensors are copies: mapped ones hold the file, which Windows then neither replaces nor deletes.
    """
    metadata = read_metadata(path, source)
    with safe_open(path, framework="pt") as opened:
        return {name: opened.get_tensor(name).clone() for name in opened.keys()}, metadata


def parse_tensors(data: bytes, source: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Tensors and metadata of the bytes of a safetensors file. Raises GLMImageError as ``read_metadata`` does."""
    header = check_length(BytesIO(data), source)
    try:
        return load(data), header.get("__metadata__", {})
    except SafetensorError as error:
        raise GLMImageError(f"{source}: not a valid safetensors file ({reason(error)})") from error


def check_length(file: BinaryIO, source: str) -> dict:
    """The header of a safetensors file. Raises GLMImageError unless the file has just the bytes that it promises."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(LENGTH_BYTES)
    length = int.from_bytes(start, "little")
    if len(start) == LENGTH_BYTES and length > MOST_HEADER:
        raise GLMImageError(f"{source}: not a safetensors file (its first 8 bytes ask for a header of {length} "
                            f"bytes; at most {MOST_HEADER} are accepted)")
    missing = LENGTH_BYTES + length - size
    if len(start) < LENGTH_BYTES or missing > 0:
        raise incomplete(source, f"it ends in its header, after {size} bytes")
    header = parse_json(decode(file.read(length), f"{source}: its header"), f"{source}: its header")
    surplus = size - LENGTH_BYTES - length - end_of_tensors(header, source)
    if surplus < 0:
        raise incomplete(source, f"{-surplus} bytes are missing at its end")
    if surplus > 0:
        raise GLMImageError(f"{source}: must end with its last tensor (got {surplus} bytes more)")
    return header


def incomplete(source: str, reason: str) -> GLMImageError:
    return GLMImageError(f"{source}: not a complete safetensors file ({reason}); download it again")


def end_of_tensors(header: dict, source: str) -> int:
    """Bytes from the header's end to that of the last tensor."""
    ends = [0]
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not isinstance(offsets, list) or len(offsets) != 2 or not all(type(offset) is int for offset in offsets):
            raise GLMImageError(f"{source}: not a valid safetensors file (no offsets of the tensor {quote(name)})")
        if str(entry.get("dtype")) not in DTYPES:
            raise GLMImageError(f"{source}: the tensor {quote(name)} must have a type that torch knows "
                                f"(got {quote(entry.get('dtype'))})")
        ends.append(offsets[1])
    return max(ends)
