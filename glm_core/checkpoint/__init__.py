"""Files → tensors and configuration, for the released folder and for one file a part."""

from .convert import convert_folder
from .formats import dequantise, marks
from .parts import DIFFUSION, EMBEDDED, GLYPH, PARTS, PLANNER, QUANTISED, VAE, VISION, Part, locate
from .read import Weights, fill, fingerprint, read_config_alone, read_part

__all__ = ["DIFFUSION", "EMBEDDED", "GLYPH", "PARTS", "PLANNER", "QUANTISED", "VAE", "VISION", "Part", "Weights", "convert_folder",
           "dequantise", "fill", "fingerprint", "locate", "marks", "read_config_alone", "read_part"]
