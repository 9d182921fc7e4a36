"""The parts of a run, in the order in which they run: what each needs, and the command that runs it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.hosts import PACK, host_python

QUIET = {"TQDM_DISABLE": "1", "TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error",
         "PYTHONUNBUFFERED": "1", "OMP_WAIT_POLICY": "passive"}
COMFYUI_MODULES = "comfy_aimdo", "comfy_kitchen", "einops", "psutil", "safetensors", "scipy", "transformers", "yaml"
FIND = "import importlib.util as u, sys; print(*(name for name in sys.argv[1:] if u.find_spec(name) is None))"


@dataclass(frozen=True)
class Setting:
    """What a run is about. comfyui: its folder, if there is one. site: a folder of further packages."""

    device: str
    size: str
    comfyui: Path | None
    site: Path | None

    @property
    def comfyui_python(self) -> str:
        return host_python(self.comfyui) if self.comfyui else sys.executable

    def environment(self, python: str) -> dict[str, str]:
        """``site`` is for this Python; a ComfyUI with an environment of its own has what it needs."""
        site = [str(self.site)] if self.site and python == sys.executable else []
        return {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join([*site, str(PACK)])}


@dataclass(frozen=True)
class Part:
    """name: as in --only. title: for the report. seconds: the most that it may take.

    command: of the setting and the path of the JSON file to write.
    modules: that its Python must have. with_comfyui: runs in ComfyUI's Python. only_cuda: not on the CPU.
    """

    name: str
    title: str
    seconds: int
    command: Callable[[Setting, Path], list[str]]
    modules: tuple[str, ...] = ()
    with_comfyui: bool = False
    only_cuda: bool = False

    def python(self, setting: Setting) -> str:
        return setting.comfyui_python if self.with_comfyui else sys.executable

    def run_options(self, setting: Setting, path: Path) -> tuple[list[str], dict[str, str]]:
        """Command and environment."""
        python = self.python(setting)
        return [python, *self.command(setting, path)], setting.environment(python)

    def missing(self, setting: Setting) -> str:
        """Why the part cannot run here, "" if it can."""
        if self.only_cuda and setting.device != "cuda":
            return "needs an NVIDIA GPU"
        if self.with_comfyui and setting.comfyui is None:
            return "needs ComfyUI (--comfyui DIR, or COMFYUI_PATH)"
        python = self.python(setting)
        absent = subprocess.run([python, "-c", FIND, *self.modules], env=setting.environment(python), check=True,
                                capture_output=True, text=True).stdout.split()
        return f"needs {', '.join(absent)}" if absent else ""


def ours(name: str, title: str, seconds: int, modules: tuple[str, ...] = ("transformers",)) -> Part:
    def command(setting: Setting, path: Path) -> list[str]:
        return ["-m", "tests.gpu.worker", name, "--json", str(path), "--device", setting.device,
                "--size", setting.size]

    return Part(name, title, seconds, command, modules)


def benchmark(name: str, title: str, seconds: int, modules: tuple[str, ...] = ("diffusers", "transformers"),
              only_cuda: bool = False) -> Part:
    """A section of ``tests.benchmarks``."""
    def command(setting: Setting, path: Path) -> list[str]:
        return ["-m", "tests.benchmarks", "--json", str(path), "--device", setting.device, "--size", setting.size,
                "--only", name]

    return Part(name, title, seconds, command, modules, only_cuda=only_cuda)


def in_comfyui(name: str, title: str, seconds: int, part: str, *options: str, only_cuda: bool = False) -> Part:
    """A part of ``tests.gpu.comfyui``. options: also "--dynamic" and "--format NAME"."""
    def command(setting: Setting, path: Path) -> list[str]:
        return ["-m", "tests.gpu.comfyui", part, "--comfyui", str(setting.comfyui), "--json", str(path),
                "--device", setting.device, "--size", setting.size, *options]

    return Part(name, title, seconds, command, COMFYUI_MODULES, with_comfyui=True,
                only_cuda=only_cuda or "--dynamic" in options)


INT8 = "--format", "int8"
PARTS = (
    ours("machine", "copy bandwidth and matrix rate", 60),
    ours("parity", "every network against float32 on the CPU; recorded = plain", 180),
    in_comfyui("comfyui-dynamic", "inside ComfyUI with DynamicVRAM: recorded, held in place, memory back", 150,
               "checks", "--dynamic"),
    in_comfyui("comfyui-static", "inside ComfyUI without DynamicVRAM: recorded, memory back", 150, "checks"),
    ours("tokens", "planner alone: tokens a second", 150),
    in_comfyui("comfyui-tokens", "planner in ComfyUI with DynamicVRAM: tokens a second", 180, "tokens", "--dynamic"),
    in_comfyui("comfyui-tokens-int8", "the same in int8", 180, "tokens", "--dynamic", *INT8),
    benchmark("dit", "diffusion transformer beside diffusers", 200),
    benchmark("image", "whole picture beside transformers and diffusers", 400),
    in_comfyui("comfyui-image-int8", "whole picture in ComfyUI with DynamicVRAM, int8", 200, "picture", "--dynamic",
               *INT8),
    in_comfyui("comfyui-memory-int8", "peaks and estimates in ComfyUI, int8", 200, "memory", *INT8, only_cuda=True),
    benchmark("memory", "peak memory beside transformers and diffusers", 200, only_cuda=True),
    in_comfyui("comfyui-memory", "peaks and estimates in ComfyUI, bf16", 250, "memory", only_cuda=True),
    benchmark("vae", "autoencoder beside diffusers", 100),
    benchmark("planner", "planner beside transformers", 400, modules=("transformers",)),
)


def unpack_wheels(folder: Path, out: Path) -> Path:
    """A folder of packages: ``folder`` itself, or, if wheels are in it, ``out`` with them installed."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        return folder
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--upgrade",
                    "--target", str(out), *map(str, wheels)], check=True)
    return out
