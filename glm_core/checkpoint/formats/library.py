"""ComfyUI's library of quantisers, which only ``convert --quantise`` needs."""

from importlib.util import find_spec
from types import ModuleType

from ...errors import GLMImageError

NEEDED = "quantize_w4a8_int8_weight"  # the newest of the quantisers used here; in 0.2.31


def kitchen() -> ModuleType:
    """The library comfy-kitchen. Raises GLMImageError if it is missing or too old."""
    if find_spec("comfy_kitchen") is None:
        raise GLMImageError("--quantise needs the package comfy-kitchen, which is in ComfyUI's Python; in another, "
                            "run 'pip install comfy-kitchen'")
    import comfy_kitchen

    if not hasattr(comfy_kitchen, NEEDED):
        raise GLMImageError("--quantise needs comfy-kitchen 0.2.31 or later; run 'pip install -U comfy-kitchen'")
    return comfy_kitchen
