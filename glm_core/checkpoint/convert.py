"""The released folder → one file per part, with config and tokenizer inside."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from .files import locate
from .formats import LARGE_MATRICES, LayerError, choose_formats, kitchen, quantise, quantised_layout
from .parts import PARTS, Part
from .read import CONFIG_METADATA, TOKENIZER_TENSOR, Weights, read_part
from .stream import write_stream
from .text import text_to_tensor


@dataclass(frozen=True)
class Converted:
    """A file that was written. errors: of each quantised matrix, by its name."""

    path: Path
    errors: dict[str, LayerError]


def convert_folder(folder: Path, out: Path, format_name: str | None = None) -> Iterator[Converted]:
    """Write one file per part below ``out``, laid out like ComfyUI's models folder.

    Tensors keep their released names and dtypes; matrices that another tool quantised are restored to bfloat16. Large
    matrices change, if ``format_name`` is one of FORMATS; one at a time is in memory. Raises GLMImageError if a part is
    missing or incomplete, does not suit the format, or if comfy-kitchen is missing.
    """
    if format_name:
        kitchen()
    sources = [(part, locate(folder, part)) for part in PARTS]
    for part, path in sources:
        part_format = format_name if part in LARGE_MATRICES else None
        target = out / (part.quantised_file(part_format) if part_format else part.file)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield Converted(target, write_part_file(target, read_part(path, part, foreign=True), part, part_format))


def write_part_file(path: Path, weights: Weights, part: Part, format_name: str | None) -> dict[str, LayerError]:
    """Write a part with its config and tokenizer, its large matrices in the format. Returns their errors."""
    tensors = file_tensors(weights)
    formats = choose_formats(tensors, part, format_name, weights.source) if format_name else {}
    metadata = {**weights.metadata, CONFIG_METADATA: json.dumps(weights.config)}
    errors: dict[str, LayerError] = {}
    stream = quantise(tensors, formats, errors, weights.packed)
    write_stream(path, quantised_layout(tensors, formats), stream, metadata)
    return errors


def file_tensors(weights: Weights) -> dict[str, Tensor]:
    """The part's own tensors and its tokenizer."""
    if weights.tokenizer_json is None:
        return weights.tensors
    return {**weights.tensors, TOKENIZER_TENSOR: text_to_tensor(weights.tokenizer_json)}
