"""Which files hold a part of a model."""

from pathlib import Path
from typing import Any

from ..errors import GLMImageError
from ..files import describe_path, quote, read_json
from .formats import FORMATS
from .parts import Part

MOST_NAMED = 5  # missing shards in a message
LONGEST_NAME = 255  # characters, in most file systems


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
    """The safetensors files at ``path``, a file or a folder.

    Raises GLMImageError if one is missing, or if a folder has several indexes.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        found = describe_path(path)
        raise GLMImageError(f"{source}: {'no such file or folder' if found == 'no such file' else f'it is {found}'}")
    indexes = sorted(path.glob("*.safetensors.index.json"))
    if len(indexes) > 1:
        raise GLMImageError(f"{source}: must have one index (got {', '.join(index.name for index in indexes)})")
    if indexes:
        return shards(indexes[0], source)
    files = list(path.glob("*.safetensors"))
    if len(files) != 1:
        raise GLMImageError(f"{source}: must hold one safetensors file, or several with an index "
                            f"(got {len(files)} without an index)")
    return files


def shards(index: Path, source: str) -> list[Path]:
    """The files that ``index`` lists. Raises GLMImageError if one is missing or in another folder."""
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise GLMImageError(f"{index}: weight_map must name the file of each tensor (got {quote(weight_map)})")
    foreign = [name for name in weight_map.values() if not is_file_name(name)]
    if foreign:
        raise GLMImageError(f"{index}: a shard must be the name of a file beside the index (got {quote(foreign[0])})")
    names = sorted(set(weight_map.values()))
    missing = [name for name in names if not (index.parent / name).exists()]
    if missing:
        others = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        raise GLMImageError(f"{source}: missing shards {', '.join(missing[:MOST_NAMED])}{others}, "
                            f"named in {index.name}")
    return [index.parent / name for name in names]


def is_file_name(name: Any) -> bool:
    """True for the name of a file without any folder, on every system."""
    is_bare = isinstance(name, str) and not set(name) & set("/\\:\0\n")
    return is_bare and name not in ("", ".", "..") and len(name) <= LONGEST_NAME
