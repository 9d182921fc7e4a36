"""Empty stand-ins for packages that ComfyUI imports and a GLM-Image does not use, where a bare machine lacks them."""

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

UNUSED = "torchaudio", "torchsde", "torchvision"


class StandIns(MetaPathFinder, Loader):
    """Finds ``names`` and everything in them; all that they contain is a mock."""

    def __init__(self, names: Sequence[str]):
        self.names = names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in self.names else None

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__getattr__"] = self.attribute

    def attribute(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


def add_stand_ins() -> list[str]:
    """Names of the packages that were missing. transformers must find them missing, and asks only once."""
    from transformers.utils import import_utils

    import_utils.is_torchvision_available()
    import_utils.is_torchaudio_available()
    missing = [name for name in UNUSED if importlib.util.find_spec(name) is None]
    sys.meta_path.append(StandIns(missing))
    return missing
