"""The ComfyUI folders of this machine."""

import os
import sys
from pathlib import Path

PACK = Path(__file__).resolve().parents[2]
NEEDS = {"train_decoder_lora": (0, 33)}  # workflows of which ComfyUI 0.8 has other widgets and outputs


def find_hosts() -> list[Path]:
    """All ComfyUI folders on this machine that the tests know to look for.

    Those in COMFYUI_PATH (separated as in PATH), ~/ComfyUI and ~/ComfyUI-*, and the one that has this pack in its
    custom_nodes.
    """
    named = [Path(path) for path in os.environ.get("COMFYUI_PATH", "").split(os.pathsep) if path]
    home = [Path.home() / "ComfyUI", *sorted(Path.home().glob("ComfyUI-*"))]
    candidates = [*named, *home, PACK.parent.parent]
    return list(dict.fromkeys(path.resolve() for path in candidates if is_host(path)))


def is_host(folder: Path) -> bool:
    """Whether the folder is a ComfyUI."""
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def host_version(host: Path) -> str:
    return (host / "comfyui_version.py").read_text().split('"')[-2]


def version_numbers(host: Path) -> tuple[int, ...]:
    return tuple(map(int, host_version(host).split(".")))


def opens(host: Path, workflow: str) -> bool:
    """Whether this ComfyUI opens a shipped workflow as it was saved."""
    return version_numbers(host) >= NEEDS.get(workflow.removesuffix(".app"), ())


def host_python(host: Path) -> str:
    """The interpreter of the host's virtual environment or portable ComfyUI, else the one that runs the tests."""
    for candidate in (".venv/bin/python", "venv/bin/python", ".venv/Scripts/python.exe", "venv/Scripts/python.exe",
                      "../python_embeded/python.exe"):
        if (host / candidate).exists():
            return str(host / candidate)
    return sys.executable
