"""Files → tensors, config and tokenizer, from the released folder or from one file per part."""

from .convert import Converted, convert_folder
from .files import locate
from .folders import find_released_folders
from .formats import FOREIGN, FORMATS, LayerError, belongs_to_format, dequantise, dequantise_all, read_tags
from .lora import DIFFUSION_STYLES, PLANNER_STYLES, KeyStyles, Lora, read_lora
from .parts import DIFFUSION, EMBEDDED, GLYPH, PARTS, PLANNER, VAE, VISION, Part
from .read import Weights, check_surplus, fill, fingerprint, read_config_only, read_part
from .text import text_to_tensor

__all__ = [
    "DIFFUSION", "DIFFUSION_STYLES", "EMBEDDED", "FOREIGN", "FORMATS", "GLYPH", "PARTS", "PLANNER", "PLANNER_STYLES",
    "VAE", "VISION", "Converted", "KeyStyles", "LayerError", "Lora", "Part", "Weights", "belongs_to_format",
    "check_surplus", "convert_folder", "dequantise", "dequantise_all", "fill", "find_released_folders", "fingerprint",
    "locate", "read_config_only", "read_lora", "read_part", "read_tags", "text_to_tensor",
]
