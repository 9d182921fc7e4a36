"""Files → tensors and configuration, for the released folder and for one file a part."""

from .convert import convert_folder
from .parts import DIFFUSION, EMBEDDED, GLYPH, PARTS, PLANNER, QUANTISED, VAE, VISION, Part, locate
from .quantise import dequantise, marks
from .read import Weights, fill, read_config_alone, read_part

__all__ = ["DIFFUSION", "EMBEDDED", "GLYPH", "PARTS", "PLANNER", "QUANTISED", "VAE", "VISION", "Part", "Weights", "convert_folder",
           "dequantise", "fill", "locate", "marks", "read_config_alone", "read_part"]
