"""Room on the disk for files that are to be written."""

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import GLMImageError
from .stream import unfinished_path


@dataclass(frozen=True)
class Room:
    """On the disk that holds ``folder``: the bytes that are needed at most at one time, and those that are free."""

    folder: Path
    needed: int
    free: int


def check_room(sizes: Mapping[Path, int]) -> None:
    """Raise GLMImageError unless files of these sizes, in bytes, can be written one after another."""
    for room in find_room(sizes):
        if room.needed > room.free:
            raise GLMImageError(f"{room.folder}: the disk must have {gigabytes(room.needed)} free "
                                f"(got {gigabytes(room.free)})")


def find_room(sizes: Mapping[Path, int]) -> list[Room]:
    """Of every disk that gets a file. Folders may be links to other disks."""
    disks: dict[int, dict[Path, int]] = {}
    for path, size in sizes.items():
        disks.setdefault(existing_folder(path).stat().st_dev, {})[path] = size
    folders = [existing_folder(next(iter(files))) for files in disks.values()]
    return [Room(folder, most_needed(files), shutil.disk_usage(folder).free)
            for folder, files in zip(folders, disks.values())]


def existing_folder(path: Path) -> Path:
    """The nearest folder above ``path`` that is there."""
    return next(folder for folder in (path.parent.resolve() / path.name).parents if folder.is_dir())


def most_needed(sizes: Mapping[Path, int]) -> int:
    """Bytes: an old file is there until its successor is complete."""
    added = most = 0
    for path, size in sizes.items():
        most = max(most, added + size)
        added += size - (path.stat().st_size if path.is_file() else 0)
    return most


def unfinished_files(paths: Iterable[Path]) -> list[Path]:
    """What an interrupted run left of these files."""
    return [left for path in paths if (left := unfinished_path(path)).is_file()]


def remove_unfinished(paths: Iterable[Path]) -> None:
    for left in unfinished_files(paths):
        os.remove(left)


def gigabytes(size: int) -> str:
    """Bytes in GB, with as many digits as matter."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
