"""Safetensors on disk → tensors with their released names, configuration and tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import GLMImageError
from .infer_config import config_from_shapes
from .parts import DIFFUSION, PARTS, PLANNER, VAE, Part

TOKENIZER_TENSOR = "tokenizer_json"  # uint8, the text of tokenizer.json; core ComfyUI carries spiece_model so
CONFIG_METADATA = "config"
FINGERPRINT_NUMBERS = 8  # of each tensor
T5_ALIASES = {"encoder.embed_tokens.weight": "shared.weight"}  # files store the shared embedding under either name


@dataclass(frozen=True)
class Weights:
    """tensors: by released name, outer prefixes stripped. config: as in config.json. source: for messages.

    metadata: of the safetensors file (quantisation lives there). tokenizer_json: only for the planner.
    """

    tensors: dict[str, Tensor]
    config: dict
    source: str
    metadata: dict[str, str]
    tokenizer_json: str | None = None


def read_part(path: Path, part: Part, load: Callable[[str], dict[str, Tensor]] = load_file) -> Weights:
    """Read one part from its released folder or from a single safetensors file.

    ``load`` reads the tensors of one file (a host has its own). Raises GLMImageError when a file or shard is missing
    or cut short, when the file holds another part, or when the planner comes without a tokenizer.
    """
    files = part_files(path, part)
    metadata = {key: value for file in files for key, value in read_metadata(file, part).items()}
    tensors = strip_prefix({name: tensor for file in files for name, tensor in load(str(file)).items()}, part, path)
    embedded_tokenizer = tensors.pop(TOKENIZER_TENSOR, None)
    config = read_part_config(path, part, metadata) or config_from_shapes(part, tensors, str(path))
    tokenizer = None
    if part is PLANNER:
        tokenizer = decode_tokenizer(embedded_tokenizer) if embedded_tokenizer is not None else read_tokenizer(path)
    return Weights(tensors, config, f"{part.title} {path}", metadata, tokenizer)


def read_config_alone(path: Path, part: Part) -> dict:
    """The part's configuration without its tensors; empty where the file does not carry it."""
    metadata = {key: value for file in part_files(path, part) for key, value in read_metadata(file, part).items()}
    return read_part_config(path, part, metadata) or {}


def part_files(path: Path, part: Part) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise GLMImageError(f"{part.title} {path}: no such file or folder")
    for index in path.glob("*.safetensors.index.json"):
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
        missing = [shard for shard in shards if not (path / shard).is_file()]
        if missing:
            raise GLMImageError(f"{part.title} {path}: missing shard {', '.join(missing)}, named in {index.name}")
        return [path / shard for shard in shards]
    files = sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise GLMImageError(f"{part.title} {path}: found {len(files)} safetensors files without an index, expected one")
    return files


def read_metadata(file: Path, part: Part) -> dict[str, str]:
    try:
        with safe_open(file, framework="pt") as opened:
            return opened.metadata() or {}
    except SafetensorError as error:
        raise GLMImageError(f"{part.title} {file}: not a complete safetensors file ({error}); download it again") from error


def strip_prefix(tensors: dict[str, Tensor], part: Part, path: Path) -> dict[str, Tensor]:
    """Take off what stands before the part's signature, be it ``model.diffusion_model.``, ``transformer.`` or ``model.``."""
    prefix = find_prefix(tensors, part)
    if prefix is None:
        others = [other.title for other in PARTS if other is not part and find_prefix(tensors, other) is not None]
        found = f"it holds the {others[0]}" if others else f"{len(tensors)} tensors, none of them ending in {part.signature}"
        raise GLMImageError(f"{part.title} {path}: not a GLM-Image {part.title}: {found}")
    outer = prefix.removesuffix("model.")  # the planner's head stands beside its model., not inside
    bare = {name.removeprefix(prefix if name.startswith(prefix) else outer): tensor for name, tensor in tensors.items()}
    return {T5_ALIASES.get(name, name): tensor for name, tensor in bare.items()}


def find_prefix(tensors: dict[str, Tensor], part: Part) -> str | None:
    matches = [name for name in tensors if name == part.signature or name.endswith("." + part.signature)]
    return min(matches, key=len).removesuffix(part.signature) if matches else None


def read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise GLMImageError(f"{path}: not valid JSON ({error})") from error


def read_part_config(path: Path, part: Part, metadata: dict[str, str]) -> dict | None:
    """config.json of the folder, else the file's metadata; the diffusion model also takes the VAE's latent statistics."""
    if path.is_file():
        return json.loads(metadata[CONFIG_METADATA]) if CONFIG_METADATA in metadata else None
    if not (path / "config.json").is_file():
        return None
    config = read_json(path / "config.json")
    beside = path.parent / VAE.folder / "config.json"
    if part is DIFFUSION and beside.is_file():
        statistics = read_json(beside)
        config |= {key: statistics[key] for key in ("latents_mean", "latents_std") if key in statistics}
    return config


def decode_tokenizer(tensor: Tensor) -> str:
    return tensor.cpu().numpy().tobytes().decode("utf-8")


def read_tokenizer(path: Path) -> str:
    folder = path.parent if path.is_file() else path
    candidates = [folder / "tokenizer.json", folder.parent / "processor" / "tokenizer.json"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate.read_text(encoding="utf-8")
    raise GLMImageError(f"planner {path}: no tokenizer: neither inside the file nor at {' or '.join(map(str, candidates))}; "
                        "'python -m glm_core convert' writes files that carry it")


def fill(module: nn.Module, tensors: dict[str, Tensor], source: str, assign: bool = False) -> None:
    """Load the tensors that ``module`` has; others are ignored. Raises GLMImageError when one is missing or misshapen."""
    try:
        missing = module.load_state_dict(tensors, strict=False, assign=assign).missing_keys
    except RuntimeError as error:
        raise GLMImageError(f"{source}: {' '.join(str(error).split())}") from error
    if missing:
        raise GLMImageError(f"{source}: {len(missing)} tensors are missing, the first is {missing[0]}")


def fingerprint(tensors: dict[str, Tensor]) -> str:
    """12 hex digits that tell a part's weights from others: of all names, types and shapes, and of the first numbers of each tensor.

    Not of every byte, which would read gigabytes from disk.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        first = tensor.flatten()[:FINGERPRINT_NUMBERS].to("cpu").contiguous().view(torch.uint8)
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)} ".encode() + bytes(first.tolist()))
    return digest.hexdigest()[:12]
