"""Models in the Hugging Face cache of this machine. Nothing is downloaded."""

import os
import re
from pathlib import Path

from ..errors import GLMImageError
from .files import is_file_name

REPOSITORY = "zai-org/GLM-Image"
REPOSITORY_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def find_model(name: str) -> Path:
    """A folder, by its path or by the name of a repository in the Hugging Face cache.

    Raises GLMImageError, with the command that downloads it, if ``name`` is GLM-Image's and it is not there.
    """
    path = Path(name)
    if path.exists() or not REPOSITORY_NAME.fullmatch(name):
        return path
    snapshot = cached_snapshot(name)
    if snapshot is None and name == REPOSITORY:
        raise GLMImageError(f"{name} must be in the Hugging Face cache (got nothing in {cache_folder()}); "
                            f"run 'hf download {REPOSITORY} --local-dir GLM-Image' and give the folder GLM-Image")
    return snapshot or path


def cached_snapshot(repository: str = REPOSITORY) -> Path | None:
    """The folder of the newest downloaded revision; its files may be links. None if there is none."""
    folder = cache_folder() / f"models--{repository.replace('/', '--')}"
    try:
        revision = (folder / "refs" / "main").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    snapshot = folder / "snapshots" / revision
    return snapshot if is_file_name(revision) and os.path.isdir(snapshot) else None


def cache_folder() -> Path:
    """Where huggingface_hub keeps repositories (its constants.py)."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    older_name = os.environ.get("HUGGINGFACE_HUB_CACHE")
    folder = os.environ.get("HF_HUB_CACHE") or older_name or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(folder)))
