"""Which files hold a part of a model."""

from pathlib import Path

from ..errors import GLMImageError
from .formats import FORMATS
from .parts import Part
from .text import read_json


def locate(model: Path, part: Part) -> Path:
    """Path of a part in ``model``, a released folder or a folder that ``convert`` wrote.

    Raises GLMImageError if the part is missing.
    """
    quantised = [part.quantised_file(name) for name in FORMATS]
    for candidate in (part.file, *quantised, part.folder):
        if (model / candidate).exists():
            return model / candidate
    raise GLMImageError(f"model folder {model}: no {part.title} found; expected {part.folder}/ (released layout) "
                        f"or {part.file} (written by 'convert')")


def part_files(path: Path, source: str) -> list[Path]:
    """The safetensors files at ``path``, a file or a folder. Raises GLMImageError if one is missing."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise GLMImageError(f"{source}: no such file or folder")
    indexes = list(path.glob("*.safetensors.index.json"))
    if indexes:
        return shards(indexes[0], source)
    files = list(path.glob("*.safetensors"))
    if len(files) != 1:
        raise GLMImageError(f"{source}: must hold one safetensors file, or several with an index "
                            f"(got {len(files)} without an index)")
    return files


def shards(index: Path, source: str) -> list[Path]:
    """The files that ``index`` lists, which are in its own folder."""
    names = sorted(set(read_json(index)["weight_map"].values()))
    missing = [name for name in names if not (index.parent / name).is_file()]
    if missing:
        raise GLMImageError(f"{source}: missing shards {', '.join(missing)}, named in {index.name}")
    return [index.parent / name for name in names]
