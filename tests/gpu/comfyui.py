"""A part inside ComfyUI's own process: ``python -m tests.gpu.comfyui PART --comfyui DIR --json OUT ...``.

Wants ComfyUI's Python, and this pack's folder as the working folder.
"""

import argparse
import os
import sys
from pathlib import Path

from .stand_ins import add_stand_ins

PACK = Path(__file__).resolve().parents[2]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.comfyui", description=__doc__)
    parser.add_argument("part", choices=("checks", "tokens", "picture", "memory"))
    parser.add_argument("--comfyui", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--device", choices=("cpu", "cuda"), required=True)
    parser.add_argument("--size", choices=("full", "tiny"), required=True)
    parser.add_argument("--dynamic", action="store_true", help="with DynamicVRAM")
    parser.add_argument("--format", choices=("int8",), help="of the large matrices (default: as released)")
    return parser.parse_args()


def find_comfyui(folder: Path) -> None:
    """Let ComfyUI's modules be found first, and this pack's after them; ``tests`` is this pack's already."""
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path or ".").resolve() != PACK), str(PACK)]
    os.chdir(folder)


def start_comfyui(device: str, dynamic: bool) -> list[str]:
    """What ComfyUI's main.py does before its server starts, in its order. Returns the packages that have stand-ins."""
    from comfy.cli_args import args

    args.cpu, args.disable_dynamic_vram = device == "cpu", not dynamic
    if device == "cuda":
        import cuda_malloc  # noqa: F401  # chooses torch's allocator
    if dynamic:
        import comfy_aimdo.control  # before torch

        comfy_aimdo.control.init(simple_vram_headroom=None, nvml_pressure=not args.disable_nvml_pressure)
    stand_ins = add_stand_ins()
    if dynamic:
        page_weights(args.vram_headroom)
    return stand_ins


def page_weights(headroom: float) -> None:
    """Turn DynamicVRAM on. headroom: GiB of each device that are left to others."""
    import comfy.memory_management
    import comfy.model_management
    import comfy.model_patcher
    import comfy_aimdo.control

    devices = [(each.index, int(headroom * 2**30)) for each in comfy.model_management.get_all_torch_devices()]
    if not comfy_aimdo.control.init_devices(devices):
        raise RuntimeError("comfy-aimdo must start on this GPU (its init_devices gave False)")
    comfy.model_patcher.CoreModelPatcher = comfy.model_patcher.ModelPatcherDynamic
    comfy.memory_management.aimdo_enabled = True


def main() -> int:
    given = parse()
    given.json = given.json.resolve()
    find_comfyui(given.comfyui.resolve())
    stand_ins = start_comfyui(given.device, given.dynamic)

    import torch

    from . import comfyui_checks, comfyui_speed
    from .record import Record
    from .versions import facts

    record, device = Record(given.json, facts() | {"stand-ins": stand_ins}), torch.device(given.device)
    with torch.inference_mode():
        if given.part == "checks":
            comfyui_checks.checks(record, device, given.size, given.dynamic)
        else:
            getattr(comfyui_speed, given.part)(record, device, given.size, given.format)
    return 0 if record.passed else 1


if __name__ == "__main__":
    sys.exit(main())
