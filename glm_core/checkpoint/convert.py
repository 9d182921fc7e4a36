"""The released folder → one file per part, with config and tokenizer inside."""

import json
from collections.abc import Iterator
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from .files import locate
from .formats import LARGE_MATRICES, quantise
from .parts import PARTS, Part
from .read import CONFIG_METADATA, TOKENIZER_TENSOR, Weights, read_part
from .text import text_to_tensor


def convert_folder(folder: Path, out: Path, format_name: str | None = None) -> Iterator[Path]:
    """Write one file per part below ``out``, laid out like ComfyUI's models folder. Yields their paths.

    Tensors keep their released names and dtypes. Only large matrices change, if ``format_name`` is one of FORMATS.
    Raises GLMImageError if a part is missing or incomplete, or does not suit the format.
    """
    sources = [(part, locate(folder, part)) for part in PARTS]
    for part, path in sources:
        weights = read_part(path, part)
        part_format = format_name if part in LARGE_MATRICES else None
        target = out / (part.quantised_file(part_format) if part_format else part.file)
        target.parent.mkdir(parents=True, exist_ok=True)
        metadata = {**weights.metadata, CONFIG_METADATA: json.dumps(weights.config)}
        save_file(file_tensors(weights, part, part_format), target, metadata)
        yield target


def file_tensors(weights: Weights, part: Part, part_format: str | None) -> dict[str, Tensor]:
    """All tensors of a converted file: the part's own, quantised if ``part_format`` is given, and its tokenizer."""
    tensors = {name: tensor.contiguous() for name, tensor in weights.tensors.items()}
    if weights.tokenizer_json is not None:
        tensors[TOKENIZER_TENSOR] = text_to_tensor(weights.tokenizer_json)
    return quantise(tensors, part, part_format, weights.source) if part_format else tensors
