"""Files → tensors, config and tokenizer, from the released folder or from one file per part."""

from .convert import convert_folder
from .files import locate
from .formats import FORMATS, dequantise, format_names
from .lora import DIFFUSION_STYLES, PLANNER_STYLES, KeyStyles, Lora, read_lora
from .parts import DIFFUSION, EMBEDDED, GLYPH, PARTS, PLANNER, VAE, VISION, Part
from .read import Weights, fill, fingerprint, read_config_only, read_part

__all__ = [
    "DIFFUSION", "DIFFUSION_STYLES", "EMBEDDED", "FORMATS", "GLYPH", "PARTS", "PLANNER", "PLANNER_STYLES", "VAE",
    "VISION", "KeyStyles", "Lora", "Part", "Weights", "convert_folder", "dequantise", "fill", "fingerprint",
    "format_names", "locate", "read_config_only", "read_lora", "read_part",
]
