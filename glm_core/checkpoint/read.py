"""Safetensors on disk → tensors with their released names, config and tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import GLMImageError
from .files import part_files
from .infer_config import config_from_shapes
from .parts import DIFFUSION, PARTS, PLANNER, VAE, Part
from .text import parse_json, read_json, tensor_to_text

TOKENIZER_TENSOR = "tokenizer_json"  # uint8, the text of tokenizer.json; ComfyUI stores its own "spiece_model" likewise
CONFIG_METADATA = "config"
LATENT_STATISTICS = "latents_mean", "latents_std"
ADVICE = "'python -m glm_core check DIR' says what else is wrong with the model folder"
FINGERPRINT_NUMBERS = 8  # of each tensor
T5_ALIASES = {"encoder.embed_tokens.weight": "shared.weight"}  # files store the shared embedding under either name

LoadFile = Callable[[str], dict[str, Tensor]]  # path of a safetensors file → its tensors


@dataclass(frozen=True)
class Weights:
    """One part as it was read.

    tensors: by released name, without outer prefixes.
    config: as in config.json.
    source: the part and its path, for messages.
    metadata: of the safetensors files; ComfyUI keeps some quantisation settings there.
    tokenizer_json: the text of tokenizer.json for the planner, None for other parts.
    """

    tensors: dict[str, Tensor]
    config: dict
    source: str
    metadata: dict[str, str]
    tokenizer_json: str | None = None


def read_part(path: Path, part: Part, load: LoadFile = load_file) -> Weights:
    """Read one part from its released folder or from a single safetensors file.

    load: reads the tensors of one file; a host passes its own loader. Raises GLMImageError if a file or shard is
    missing or incomplete, if the file holds another part, or if the planner comes without a tokenizer.
    """
    source = f"{part.title} {path}"
    files = part_files(path, source)
    metadata = read_metadata(files, part)
    tensors = strip_prefix(read_tensors(files, load), part, source)
    stored_tokenizer = tensors.pop(TOKENIZER_TENSOR, None)
    config = stored_config(path, part, metadata) or config_from_shapes(part, tensors, source)
    tokenizer_json = read_tokenizer(path, stored_tokenizer) if part is PLANNER else None
    return Weights(tensors, config, source, metadata, tokenizer_json)


def read_config_only(path: Path, part: Part) -> dict:
    """The part's config without reading its tensors; {} if no config is stored."""
    files = part_files(path, f"{part.title} {path}")
    return stored_config(path, part, read_metadata(files, part)) or {}


def read_metadata(files: list[Path], part: Part) -> dict[str, str]:
    """The metadata of all files together. Raises GLMImageError if a file is incomplete."""
    metadata = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                metadata |= opened.metadata() or {}
        except SafetensorError as error:
            raise GLMImageError(
                f"{part.title} {file}: not a complete safetensors file ({error}); download it again") from error
    return metadata


def read_tensors(files: list[Path], load: LoadFile) -> dict[str, Tensor]:
    tensors = {}
    for file in files:
        tensors |= load(str(file))
    return tensors


def strip_prefix(tensors: dict[str, Tensor], part: Part, source: str) -> dict[str, Tensor]:
    """Tensors by released name, without an outer prefix such as ``model.diffusion_model.`` or ``transformer.``.

    Raises GLMImageError if the part's signature is not among them.
    """
    prefix = find_prefix(tensors, part)
    if prefix is None:
        raise GLMImageError(f"{source}: not a GLM-Image {part.title}: {describe_other(tensors, part)}")
    outer = prefix.removesuffix("model.")  # the planner's lm_head stands beside its "model.", not inside
    stripped = {}
    for name, tensor in tensors.items():
        bare = name.removeprefix(prefix if name.startswith(prefix) else outer)
        stripped[T5_ALIASES.get(bare, bare)] = tensor
    return stripped


def find_prefix(tensors: dict[str, Tensor], part: Part) -> str | None:
    """The prefix before the part's signature in the tensors' names; None if no name ends with the signature."""
    matches = [name for name in tensors if name == part.signature or name.endswith("." + part.signature)]
    return min(matches, key=len).removesuffix(part.signature) if matches else None


def describe_other(tensors: dict[str, Tensor], part: Part) -> str:
    """What a file without ``part`` holds instead, for a message."""
    for other in PARTS:
        if find_prefix(tensors, other) is not None:
            return f"it holds the {other.title}"
    return f"it has no tensor {part.signature}"


def stored_config(path: Path, part: Part, metadata: dict[str, str]) -> dict | None:
    """The config in a file's metadata, or config.json of a folder; None if there is none.

    In a released folder the VAE's latent statistics are added to the diffusion model's config.
    """
    if path.is_file():
        stored = metadata.get(CONFIG_METADATA)
        return None if stored is None else parse_json(stored, f"{part.title} {path}: its config")
    if not (path / "config.json").is_file():
        return None
    config = read_json(path / "config.json")
    return config | latent_statistics(path.parent) if part is DIFFUSION else config


def latent_statistics(model: Path) -> dict:
    """From the VAE's config.json in a released folder, if there is one."""
    path = model / VAE.folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    return {key: config[key] for key in LATENT_STATISTICS if key in config}


def read_tokenizer(path: Path, stored: Tensor | None) -> str:
    """The text of tokenizer.json: ``stored`` in the file, beside it, or in the released folder.

    Raises GLMImageError if there is none.
    """
    if stored is not None:
        return tensor_to_text(stored)
    folder = path.parent if path.is_file() else path
    candidates = [folder / "tokenizer.json", folder.parent / "processor" / "tokenizer.json"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.read_text(encoding="utf-8")
    places = " or ".join(map(str, candidates))
    raise GLMImageError(f"{PLANNER.title} {path}: no tokenizer inside the file, nor at {places}; "
                        "'python -m glm_core convert' writes files that include it")


def fill(module: nn.Module, tensors: dict[str, Tensor], source: str, assign: bool = False) -> None:
    """Load the tensors that ``module`` has, and ignore the others. assign: as in ``load_state_dict``.

    Raises GLMImageError if a tensor is missing or has another shape.
    """
    try:
        missing = module.load_state_dict(tensors, strict=False, assign=assign).missing_keys
    except RuntimeError as error:
        raise GLMImageError(f"{source}: {' '.join(str(error).split())}; {ADVICE}") from error
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise GLMImageError(f"{source}: missing tensors: {missing[0]}{others}; {ADVICE}")


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """12 hex digits that identify a part's weights.

    A hash of each tensor's name, dtype, shape and first numbers; hashing all numbers would read gigabytes from disk.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        first = tensor.flatten()[:FINGERPRINT_NUMBERS].to("cpu").contiguous().view(torch.uint8)
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode() + bytes(first.tolist()))
    return digest.hexdigest()[:12]
