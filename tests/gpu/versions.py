"""The machine of a process, its versions, and the date."""

import platform
from datetime import date
from typing import Any

import torch

from tests.benchmarks.report import processor, version

PACKAGES = "transformers", "diffusers", "comfy-kitchen", "comfy-aimdo"


def facts() -> dict[str, Any]:
    found = {"hardware": processor(), "python": platform.python_version(), "torch": torch.__version__,
             "date": date.today().isoformat()}
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found |= {"hardware": card.name, "memory": f"{card.total_memory / 1e9:.1f} GB", "cuda": torch.version.cuda,
                  "cudnn": torch.backends.cudnn.version()}
    return found | {name: version(name) for name in PACKAGES}
