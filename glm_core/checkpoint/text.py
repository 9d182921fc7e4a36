"""JSON files, and text stored as a uint8 tensor in a safetensors file."""

import json
from pathlib import Path

import torch
from torch import Tensor

from ..errors import GLMImageError


def parse_json(text: str, source: str) -> dict:
    """The JSON object in ``text``. Raises GLMImageError if it holds anything else."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise GLMImageError(f"{source}: not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise GLMImageError(f"{source}: must be a JSON object (got {type(value).__name__})")
    return value


def read_json(path: Path) -> dict:
    """The JSON object in a file. Raises GLMImageError if it holds anything else."""
    return parse_json(path.read_text(encoding="utf-8"), str(path))


def text_to_tensor(text: str) -> Tensor:
    """The UTF-8 bytes of ``text``, uint8 [n]."""
    return torch.tensor(list(text.encode("utf-8")), dtype=torch.uint8)


def tensor_to_text(tensor: Tensor) -> str:
    """Inverse of ``text_to_tensor``."""
    return tensor.cpu().numpy().tobytes().decode("utf-8")
