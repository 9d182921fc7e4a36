"""Files → tensors, config and tokenizer, from the released folder or from one file per part."""

from .cache import REPOSITORY, cached_snapshot, find_model
from .cards import card_lines
from .convert import Converted, Target, convert_folder, convert_part, find_targets, prepare
from .files import locate
from .folders import find_released_folders
from .formats import FOREIGN, FORMATS, LayerError, belongs_to_format, dequantise, dequantise_all, read_tags
from .lora import DIFFUSION_STYLES, PLANNER_STYLES, KeyStyles, Lora, read_lora
from .parts import DIFFUSION, EMBEDDED, GLYPH, PART_NAMES, PARTS, PLANNER, VAE, VISION, Part
from .publish import publication_files, published_size, write_publication
from .read import Weights, check_surplus, fill, fingerprint, read_config_only, read_part
from .room import find_room, gigabytes, unfinished_files
from .text import text_to_tensor

__all__ = [
    "DIFFUSION", "DIFFUSION_STYLES", "EMBEDDED", "FOREIGN", "FORMATS", "GLYPH", "PARTS", "PART_NAMES", "PLANNER",
    "PLANNER_STYLES", "REPOSITORY", "VAE", "VISION", "Converted", "KeyStyles", "LayerError", "Lora", "Part", "Target",
    "Weights", "belongs_to_format", "cached_snapshot", "card_lines", "check_surplus", "convert_folder", "convert_part",
    "dequantise", "dequantise_all", "fill", "find_model", "find_released_folders", "find_room", "find_targets",
    "fingerprint", "gigabytes", "locate", "prepare", "publication_files", "published_size", "read_config_only",
    "read_lora", "read_part", "read_tags", "text_to_tensor", "unfinished_files", "write_publication",
]
