"""The result of training: a checkpoint with one new part."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoint import Part, read_part
from ..checkpoint.write import MODEL_INDEX, write_part
from ..errors import GLMImageError
from ..files import read_json

FOLDERS = [name for name in MODEL_INDEX if not name.startswith("_")]  # of the released layout
NEW = ".safetensors", ".safetensors.index.json", "config.json"  # ends of the names of files that are written anew
TRAINABLE = torch.float32, torch.bfloat16, torch.float16


def write_checkpoint(source: Path, out: Path, part: Part, tensors: Mapping[str, Tensor],
                     dtype: torch.dtype | None = None) -> None:
    """Write a copy of the released folder ``source`` in which these tensors of a part are new.

    dtype: of the new tensors; None for that in which the source stores them.
    Files that do not change are hard links to the source's, or copies where the file system has no such links.
    Raises GLMImageError if ``out`` is ``source`` or in a part of it, if ``source`` is not in the released layout
    or quantised, or if it has no tensor of such a name and shape.
    """
    check_other_folder(out, source)
    config = read_json(config_file(source, part))
    changed = with_changes(source, part, tensors, dtype)
    for path in unchanged_files(source, part):
        link(source / path, out / path)
    for path in (out / part.folder).glob("*"):  # never write into an old file, which may be linked to another model's
        if path.name.endswith(NEW):
            path.unlink()
    write_part(out, part, config, changed)


def check_other_folder(out: Path, source: Path) -> None:
    """Raise GLMImageError if a checkpoint in ``out`` would be written over ``source`` or into its parts."""
    real = out.resolve()
    if real == source.resolve():
        raise GLMImageError(f"--out {out}: it must be another folder than the model's (got the same)")
    for folder in FOLDERS:
        if real.is_relative_to((source / folder).resolve()):
            raise GLMImageError(f"--out {out}: it must not be in {folder} of the model (got it there)")
        if (out / folder).exists() and (out / folder).resolve() == (source / folder).resolve():
            raise GLMImageError(f"--out {out}: its folder {folder} must not be a link to the model's (got one)")


def check_no_model(out: Path) -> None:
    """Raise GLMImageError if there is a model in ``out`` already."""
    for folder in FOLDERS:
        if (out / folder).exists():
            raise GLMImageError(f"--out {out}: it must not have a model in it, unless rl wrote it (got {folder})")


def config_file(source: Path, part: Part) -> Path:
    path = source / part.folder / "config.json"
    if not path.is_file():
        raise GLMImageError(f"model folder {source} must be in the released layout (got no "
                            f"{part.folder}/config.json)")
    return path


def check_source(source: Path, part: Part, tensors: Mapping[str, Tensor]) -> None:
    """Raise GLMImageError, before any work, if ``write_checkpoint`` would because of ``source``."""
    config_file(source, part)
    stored_tensors(source, part, tensors)


def stored_tensors(source: Path, part: Part, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All tensors of the part's files. Raises GLMImageError unless those that are new can take their places."""
    path = source / part.folder
    stored = read_part(path, part).tensors
    for name, tensor in tensors.items():
        found = f"{list(stored[name].shape)}, {stored[name].dtype}" if name in stored else "none"
        if name not in stored or stored[name].shape != tensor.shape or stored[name].dtype not in TRAINABLE:
            raise GLMImageError(f"{part.title} {path}: {name} must have the shape {list(tensor.shape)}, in float32, "
                                f"bfloat16 or float16 (got {found})")
    return stored


def with_changes(source: Path, part: Part, tensors: Mapping[str, Tensor],
                 dtype: torch.dtype | None) -> dict[str, Tensor]:
    """All tensors of the part's files, with those that are new."""
    stored = stored_tensors(source, part, tensors)
    return stored | {name: tensor.to("cpu", dtype or stored[name].dtype) for name, tensor in tensors.items()}


def unchanged_files(source: Path, part: Part) -> Iterator[Path]:
    """Relative paths of the layout's other files."""
    for folder in FOLDERS:
        for path in sorted((source / folder).rglob("*")):
            is_new = folder == part.folder and path.name.endswith(NEW)
            if path.is_file() and not is_new:
                yield path.relative_to(source)
    if (source / "model_index.json").is_file():
        yield Path("model_index.json")


def link(source: Path, out: Path) -> None:
    """Make ``out`` a hard link to ``source`` or, where that is impossible, a copy."""
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    with suppress(OSError):
        os.link(source.resolve(), out)
    if not out.exists():
        shutil.copyfile(source, out)
