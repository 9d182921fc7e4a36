"""The released folder → one file per part, with config and tokenizer inside."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from ..errors import GLMImageError
from ..files import read_metadata
from .cards import size_on_card
from .files import locate
from .formats import LARGE_MATRICES, Format, LayerError, choose_formats, kitchen, quantise, quantised_layout
from .parts import DIFFUSION, PARTS, VAE, Part
from .read import CONFIG_METADATA, TOKENIZER_TENSOR, Weights, fingerprint, read_part
from .room import check_room, remove_unfinished
from .stream import OnBytes, file_size, write_stream
from .text import text_to_tensor
from .version import pack_version

CONVERSION_METADATA = "glm_image_conversion"  # tells which weights and options made a file
VERSION_METADATA = "glm_image_native"  # the version of this pack that made it
RESTORED_METADATA = "glm_image_restored_from"  # the tool that had quantised the source
COLOURS = "latents_rgb"  # in a config; computed from the VAE


@dataclass(frozen=True)
class Contents:
    """What a part's file will hold.

    tensors: as they are read. formats: of those that are quantised. layout: names, types and shapes in the file.
    """

    tensors: dict[str, Tensor]
    formats: dict[str, Format]
    layout: dict[str, Tensor]
    metadata: dict[str, str]


@dataclass(frozen=True)
class Target:
    """A file that ``convert`` writes.

    source: file or folder that holds the part. size: in bytes. on_card: bytes of its weights that a card has to hold.
    finished: whether the file is there already, complete, from the same weights and with the same options.
    """

    part: Part
    source: Path
    path: Path
    format_name: str | None
    size: int
    on_card: int
    finished: bool


@dataclass(frozen=True)
class Converted:
    """A file that was written, or kept if it was finished. errors: of each matrix quantised now, by its name."""

    path: Path
    errors: dict[str, LayerError]
    kept: bool = False


def convert_folder(folder: Path, out: Path, format_name: str | None = None,
                   latents_rgb: tuple[float, ...] | None = None) -> Iterator[Converted]:
    """Write one file per part below ``out``, laid out like ComfyUI's models folder.

    Tensors keep their released names and dtypes; matrices that another tool quantised are restored to bfloat16. Large
    matrices change, if ``format_name`` is one of FORMATS; one at a time is in memory. latents_rgb: see
    ``with_colours``. A finished file is kept, any other of its name replaced. Raises GLMImageError as ``find_targets``
    and ``check_room`` do.
    """
    targets = find_targets(folder, out, format_name)
    prepare(targets)
    for target in targets:
        yield convert_part(target, latents_rgb=latents_rgb)


def find_targets(folder: Path, out: Path, format_name: str | None = None, parts: Sequence[Part] = PARTS,
                 check: Callable[[Part, Weights], object] = lambda part, weights: None) -> list[Target]:
    """The files of these parts; nothing is written.

    check: called with each part, to raise an error too. Raises GLMImageError if a part is missing or incomplete, does
    not suit the format, if a folder has a file's name, or if comfy-kitchen is needed and missing.
    """
    formats = {part: format_name if part in LARGE_MATRICES else None for part in parts}
    if any(formats.values()):
        kitchen()
    sources = [(part, locate(folder, part)) for part in parts]
    return [find_target(part, source, out, formats[part], check) for part, source in sources]


def find_target(part: Part, source: Path, out: Path, format_name: str | None,
                check: Callable[[Part, Weights], object]) -> Target:
    path = out / (part.quantised_file(format_name) if format_name else part.file)
    weights = read_part(source, part, foreign=True)
    check(part, weights)
    contents = file_contents(weights, part, format_name)
    return Target(part, source, path, format_name, file_size(contents.layout, contents.metadata),
                  size_on_card(contents.layout), is_finished(path, contents.metadata[CONVERSION_METADATA]))


def is_finished(path: Path, conversion: str) -> bool:
    """Whether ``path`` is a complete file of this conversion. Raises GLMImageError if it is a folder."""
    if path.is_dir():
        raise GLMImageError(f"{path}: must be a file, or not be there (got a folder)")
    try:
        return read_metadata(path, str(path)).get(CONVERSION_METADATA) == conversion
    except GLMImageError:  # incomplete, of another kind, or not there
        return False


def prepare(targets: Sequence[Target]) -> None:
    """Make the folders, and remove what an interrupted run left. Raises GLMImageError as ``check_room`` does."""
    sizes = {target.path: target.size for target in targets if not target.finished}
    remove_unfinished(sizes)
    check_room(sizes)
    for path in sizes:
        path.parent.mkdir(parents=True, exist_ok=True)


def convert_part(target: Target, on_bytes: OnBytes = lambda count: None,
                 latents_rgb: tuple[float, ...] | None = None) -> Converted:
    """Write one file, unless it is finished. latents_rgb: see ``with_colours``."""
    if target.finished:
        return Converted(target.path, {}, kept=True)
    weights = with_colours(read_part(target.source, target.part, foreign=True), target.part, latents_rgb)
    return Converted(target.path, write_part_file(target.path, weights, target.part, target.format_name, on_bytes))


def with_colours(weights: Weights, part: Part, latents_rgb: tuple[float, ...] | None) -> Weights:
    """The VAE and the diffusion model with the colours of latents in their config, for previews; None adds nothing."""
    if latents_rgb is None or part not in (DIFFUSION, VAE):
        return weights
    return replace(weights, config=weights.config | {COLOURS: list(latents_rgb)})


def write_part_file(path: Path, weights: Weights, part: Part, format_name: str | None,
                    on_bytes: OnBytes = lambda count: None) -> dict[str, LayerError]:
    """Write a part with its config and tokenizer, its large matrices in the format. Returns their errors."""
    contents = file_contents(weights, part, format_name)
    errors: dict[str, LayerError] = {}
    tensors = quantise(contents.tensors, contents.formats, errors, weights.packed)
    write_stream(path, contents.layout, tensors, contents.metadata, on_bytes)
    return errors


def file_contents(weights: Weights, part: Part, format_name: str | None) -> Contents:
    tensors = file_tensors(weights)
    formats = choose_formats(tensors, part, format_name, weights.source) if format_name else {}
    metadata = {**weights.metadata, CONFIG_METADATA: json.dumps(weights.config), VERSION_METADATA: pack_version()}
    if weights.tool:
        metadata[RESTORED_METADATA] = weights.tool
    metadata[CONVERSION_METADATA] = conversion_of(weights, metadata, format_name)
    return Contents(tensors, formats, quantised_layout(tensors, formats), metadata)


def conversion_of(weights: Weights, metadata: dict[str, str], format_name: str | None) -> str:
    """Hex digits that tell a part's weights, tokenizer, metadata and format from others.

    The pack's version does not count, nor do the colours, which follow from the VAE.
    """
    told = {name: text for name, text in metadata.items()
            if name not in (CONVERSION_METADATA, VERSION_METADATA, CONFIG_METADATA)}
    config = {key: value for key, value in weights.config.items() if key != COLOURS}
    facts = [fingerprint(weights.stored()), weights.tokenizer_json, told, config, format_name]
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_tensors(weights: Weights) -> dict[str, Tensor]:
    """The part's own tensors and its tokenizer."""
    if weights.tokenizer_json is None:
        return weights.tensors
    return {**weights.tensors, TOKENIZER_TENSOR: text_to_tensor(weights.tokenizer_json)}
