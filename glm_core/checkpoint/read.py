"""Safetensors on disk → tensors with their released names, config and tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ..errors import GLMImageError
from ..files import parse_json, read_json, read_text, reason
from ..files import read_metadata as read_file_metadata
from .files import part_files
from .formats import Packed, add_tags, check_marks, formats_of, open_layers
from .formats.format import WEIGHT
from .formats.marks import METADATA as QUANTISATION_METADATA
from .formats.marks import QUANTISATION_CONFIG, stated_quantisation, without_quantisation
from .infer_config import config_from_shapes
from .names import released_name_of
from .parts import DIFFUSION, PLANNER, VAE, Part
from .sizes import check_sizes
from .text import tensor_to_text

TOKENIZER_TENSOR = "tokenizer_json"  # uint8, the text of tokenizer.json; ComfyUI stores its own "spiece_model" likewise
CONFIG_METADATA = "config"
LATENT_STATISTICS = "latents_mean", "latents_std", "latents_rgb"
ADVICE = "'python -m glm_core check DIR' says what else is wrong with the model folder"
FINGERPRINT_NUMBERS = 8  # of each tensor

LoadFile = Callable[[str], dict[str, Tensor]]  # path of a safetensors file → its tensors


@dataclass(frozen=True)
class Weights:
    """One part as it was read.

    tensors: by released name, without outer prefixes.
    config: as in config.json.
    source: the part and its path, for messages.
    metadata: of the safetensors files; ComfyUI keeps some quantisation settings there.
    tokenizer_json: the text of tokenizer.json for the planner, None for other parts.
    packed: the matrices that another tool quantised, by name. Among the tensors they have no numbers (device meta).
    tool: that tool, None if there is none.
    """

    tensors: dict[str, Tensor]
    config: dict
    source: str
    metadata: dict[str, str]
    tokenizer_json: str | None = None
    packed: dict[str, Packed] = field(default_factory=dict)
    tool: str | None = None

    def stored(self) -> dict[str, Tensor]:
        """The tensors as they are in the files, with those that packed matrices are restored from."""
        plain = {name: tensor for name, tensor in self.tensors.items() if name not in self.packed}
        return plain | {name.removesuffix(WEIGHT) + key: tensor for name, packed in self.packed.items()
                        for key, tensor in packed.stored.items()}


def read_part(path: Path, part: Part, load: LoadFile = load_file, foreign: bool = False) -> Weights:
    """Read one part from its released folder or from a single safetensors file.

    load: reads the tensors of one file; a host passes its own loader. foreign: also if another tool quantised it in
    one of the formats FOREIGN; the result is then ``packed``. Raises GLMImageError if a file or shard is
    missing or incomplete, if the file holds another part, if weights are quantised in an unknown form, if config and
    tensors contradict each other, if two tensors have one name, or if the planner comes without a tokenizer.
    """
    try:
        return read_stored(path, part, load, foreign)
    except GLMImageError as error:
        raise GLMImageError(f"{error}; {ADVICE}") from error


def read_stored(path: Path, part: Part, load: LoadFile, foreign: bool) -> Weights:
    source = f"{part.title} {path}"
    files = part_files(path, source)
    metadata = read_metadata(files, part)
    stored = read_tensors(files, load, source)
    text = {name: take_text(stored, name, source) for name in (TOKENIZER_TENSOR, part.config_tensor)}
    tensors = part_tensors(stored, part, metadata, source)
    config = stored_config(path, part, metadata, text[part.config_tensor])
    stated = separate_quantisation(path) | (config or {})
    packed: dict[str, Packed] = {}
    tools = [entry.tool for entry in formats_of(stated_quantisation(stated))]
    if tools:
        tensors, packed = open_foreign(tensors, stated_quantisation(stated), path, source, foreign)
        config, stated = without_quantisation(config or {}), {}
    check_marks(tensors, stated, source)
    config = config or config_from_shapes(part, tensors, source)
    check_sizes(part, config, tensors, source)
    tokenizer_json = read_tokenizer(path, text[TOKENIZER_TENSOR]) if part is PLANNER else None
    return Weights(tensors, config, source, metadata, tokenizer_json, packed, tools[0] if tools else None)


def read_config_only(path: Path, part: Part) -> dict:
    """The part's config without reading its tensors; {} if no config is stored."""
    files = part_files(path, f"{part.title} {path}")
    return stored_config(path, part, read_metadata(files, part)) or {}


def read_metadata(files: list[Path], part: Part) -> dict[str, str]:
    """The metadata of all files together. Raises GLMImageError if a file is incomplete."""
    metadata = {}
    for file in files:
        metadata |= read_file_metadata(file, f"{part.title} {file}")
    return metadata


def read_tensors(files: list[Path], load: LoadFile, source: str) -> dict[str, Tensor]:
    """The tensors of all files. Raises GLMImageError as ``store`` does."""
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in load(str(file)).items():
            store(tensors, name, tensor, source)
    return tensors


def store(tensors: dict[str, Tensor], name: str, tensor: Tensor, source: str) -> None:
    """Put a tensor into ``tensors``. Raises GLMImageError if another of this name is there: which is right?"""
    if name in tensors and not is_copy(tensor, tensors[name]):
        raise GLMImageError(f"{source}: each tensor must be stored once (got two different ones of {name})")
    tensors[name] = tensor


def is_copy(tensor: Tensor, other: Tensor) -> bool:
    """True if both have the same type, shape and bits. Tensors on the meta device have no bits."""
    if (tensor.dtype, tensor.shape, tensor.device) != (other.dtype, other.shape, other.device):
        return False
    return tensor.is_meta or torch.equal(*(one.flatten().contiguous().view(torch.uint8) for one in (tensor, other)))


def take_text(tensors: dict[str, Tensor], name: str, source: str) -> str | None:
    """Remove the text that is stored as the tensor ``name``, under whatever prefix; None if there is none."""
    found = [key for key in tensors if key == name or key.endswith("." + name)]
    texts = [tensor_to_text(tensors.pop(key), f"{source}: {key}") for key in found]
    return texts[0] if texts else None


def part_tensors(stored: dict[str, Tensor], part: Part, metadata: dict[str, str], source: str) -> dict[str, Tensor]:
    """The part's own tensors by released name, with the marks of quantised layers in ComfyUI's present form."""
    released_name = released_name_of(stored, part, source)
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        if (bare := released_name(name)) is not None:
            store(tensors, bare, tensor, source)
    add_tags(tensors, metadata, released_name, source)
    metadata.pop(QUANTISATION_METADATA, None)
    return tensors


def stored_config(path: Path, part: Part, metadata: dict[str, str], text: str | None = None) -> dict | None:
    """The config in a file (``text`` or its metadata), or config.json of a folder; None if there is none.

    In a released folder the VAE's latent statistics are added to the diffusion model's config.
    """
    if path.is_file():
        text = metadata.get(CONFIG_METADATA, text)
        return None if text is None else parse_json(text, f"{part.title} {path}: its config")
    if not (path / "config.json").exists():
        return None
    config = read_json(path / "config.json")
    return config | latent_statistics(path.parent) if part is DIFFUSION else config


def open_foreign(tensors: dict[str, Tensor], stated: dict, path: Path, source: str,
                 foreign: bool) -> tuple[dict[str, Tensor], dict[str, Packed]]:
    """``open_layers``. Raises GLMImageError, with the command that converts the model, unless ``foreign``."""
    if not foreign:
        folder = path.parent if path.is_dir() else "FOLDER"
        raise GLMImageError(f"{source}: its weights are in a format of {formats_of(stated)[0].tool}, in which ComfyUI "
                            f"does not compute; convert them: python -m glm_core convert {quoted(folder)} MODELS, "
                            "where MODELS is ComfyUI's models folder")
    return open_layers(tensors, stated, source)


def quoted(path: Path | str) -> str:
    """For a command line, of PowerShell too."""
    return f'"{path}"' if " " in str(path) else str(path)


def separate_quantisation(path: Path) -> dict:
    """SDNQ's quantization_config.json of a folder, as the entry of a config that others have."""
    separate = path / f"{QUANTISATION_CONFIG}.json"
    return {QUANTISATION_CONFIG: read_json(separate) or {"quant_method": "unknown"}} if separate.is_file() else {}


def latent_statistics(model: Path) -> dict:
    """From the VAE's config.json in a released folder, if there is one."""
    path = model / VAE.folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    return {key: config[key] for key in LATENT_STATISTICS if key in config}


def read_tokenizer(path: Path, stored: str | None) -> str:
    """The text of tokenizer.json: ``stored`` in the file, beside it, or in the released folder.

    Raises GLMImageError if there is none.
    """
    if stored is not None:
        return stored
    folder = path.parent if path.is_file() else path
    candidates = [folder / "tokenizer.json", folder.parent / "processor" / "tokenizer.json"]
    for candidate in candidates:
        if candidate.exists():
            return read_text(candidate, str(candidate))
    places = " or ".join(map(str, candidates))
    raise GLMImageError(f"{PLANNER.title} {path}: no tokenizer inside the file, nor at {places}; "
                        "'python -m glm_core convert' writes files that include it")


def fill(module: nn.Module, tensors: dict[str, Tensor], source: str, assign: bool = False) -> None:
    """Load the tensors that ``module`` has, and ignore the others. assign: as in ``load_state_dict``.

    Raises GLMImageError if a tensor is missing or has another shape, and as ``check_surplus`` does.
    """
    try:
        keys = module.load_state_dict(tensors, strict=False, assign=assign)
    except (RuntimeError, ValueError) as error:  # the second by ComfyUI's quantised layers
        raise GLMImageError(f"{source}: {reason(error)}; {ADVICE}") from error
    if keys.missing_keys:
        raise GLMImageError(f"{source}: missing tensors: {named(keys.missing_keys)}; {ADVICE}")
    check_surplus(module, keys.unexpected_keys, source)


def check_surplus(module: nn.Module, names: Iterable[str], source: str) -> None:
    """Raise GLMImageError if ``names``, of tensors that ``module`` does not have, are of its layers or further blocks.

    Leaving them out would change the result: they are scales of a quantised layer, or the config has too few blocks.
    """
    surplus = [name for name in names if is_surplus(module, name)]
    if surplus:
        raise GLMImageError(f"{source}: these tensors do not belong to a model of this config: {named(surplus)}; "
                            f"{ADVICE}")


def is_surplus(module: nn.Module, name: str) -> bool:
    inside = module
    for step in name.split("."):
        children = dict(inside.named_children())
        if step not in children:
            return isinstance(inside, nn.ModuleList) or not children
        inside = children[step]
    return True


def named(names: list[str]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


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
