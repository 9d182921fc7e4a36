"""The released folder → one file per part, with config and tokenizer inside."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from .files import locate
from .formats import LARGE_MATRICES, LayerError, choose_formats, kitchen, quantise, quantised_layout
from .parts import DIFFUSION, PARTS, VAE, Part
from .read import CONFIG_METADATA, TOKENIZER_TENSOR, Weights, read_part
from .stream import write_stream
from .text import text_to_tensor


@dataclass(frozen=True)
class Converted:
    """A file that was written. errors: of each quantised matrix, by its name."""

    path: Path
    errors: dict[str, LayerError]


def convert_folder(folder: Path, out: Path, format_name: str | None = None,
                   latents_rgb: tuple[float, ...] | None = None) -> Iterator[Converted]:
    """Write one file per part below ``out``, laid out like ComfyUI's models folder.

    Tensors keep their released names and dtypes. Only large matrices change, if ``format_name`` is one of FORMATS; one
    at a time is in memory. latents_rgb: see ``with_colours``.
    Raises GLMImageError if a part is missing or incomplete, does not suit the format, or if
    comfy-kitchen is missing.
    """
    if format_name:
        kitchen()
    sources = [(part, locate(folder, part)) for part in PARTS]
    for part, path in sources:
        part_format = format_name if part in LARGE_MATRICES else None
        target = out / (part.quantised_file(part_format) if part_format else part.file)
        target.parent.mkdir(parents=True, exist_ok=True)
        yield Converted(target, write_part_file(target, with_colours(read_part(path, part), part, latents_rgb), part,
                                                part_format))


def with_colours(weights: Weights, part: Part, latents_rgb: tuple[float, ...] | None) -> Weights:
    """The VAE and the diffusion model with the colours of latents in their config, for previews; None adds nothing."""
    if latents_rgb is None or part not in (DIFFUSION, VAE):
        return weights
    return replace(weights, config=weights.config | {"latents_rgb": list(latents_rgb)})


def write_part_file(path: Path, weights: Weights, part: Part, format_name: str | None) -> dict[str, LayerError]:
    """Write a part with its config and tokenizer, its large matrices in the format. Returns their errors."""
    tensors = file_tensors(weights)
    formats = choose_formats(tensors, part, format_name, weights.source) if format_name else {}
    metadata = {**weights.metadata, CONFIG_METADATA: json.dumps(weights.config)}
    errors: dict[str, LayerError] = {}
    write_stream(path, quantised_layout(tensors, formats), quantise(tensors, formats, errors), metadata)
    return errors


def file_tensors(weights: Weights) -> dict[str, Tensor]:
    """The part's own tensors and its tokenizer."""
    if weights.tokenizer_json is None:
        return weights.tensors
    return {**weights.tensors, TOKENIZER_TENSOR: text_to_tensor(weights.tokenizer_json)}
