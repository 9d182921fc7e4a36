"""Released folders below a folder of models, such as ComfyUI's models/diffusers."""

from __future__ import annotations

import os
from pathlib import Path

from .parts import PLANNER

DEEPEST = 4  # levels


def find_released_folders(root: Path) -> dict[str, Path]:
    """Folders that contain a GLM-Image, by their names relative to ``root``, at most DEEPEST levels below it.

    Links are followed, but each folder is visited once and models are not entered, so that a link to a folder above
    itself ends. Own folders come before links.
    """
    found: dict[str, Path] = {}
    visited: set[str] = set()
    level = [(str(root), os.path.realpath(root))]
    for _ in range(DEEPEST + 1):
        inside = []
        for folder, real in level:
            if real in visited:
                continue
            visited.add(real)
            folders = folders_in(folder)
            if PLANNER.folder in folders:
                found[Path(folder).relative_to(root).as_posix()] = Path(folder)
                continue
            for name in sorted(folders, key=lambda name: (folders[name], name)):
                path = f"{folder}{os.sep}{name}"
                inside.append((path, os.path.realpath(path) if folders[name] else f"{real}{os.sep}{name}"))
        level = inside
    return found


def folders_in(folder: str) -> dict[str, bool]:
    """Names of the folders in ``folder``, and whether each is a link; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_symlink() for entry in entries if entry.is_dir()}
    except OSError:
        return {}
