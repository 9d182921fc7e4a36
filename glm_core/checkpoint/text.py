"""Text stored as a uint8 tensor in a safetensors file."""

import torch
from torch import Tensor

from ..errors import GLMImageError
from ..files import decode


def text_to_tensor(text: str) -> Tensor:
    """The UTF-8 bytes of ``text``, uint8 [n]."""
    return torch.tensor(list(text.encode("utf-8")), dtype=torch.uint8)


def tensor_to_text(tensor: Tensor, source: str) -> str:
    """Inverse of ``text_to_tensor``. Raises GLMImageError on other tensors."""
    if tensor.dtype != torch.uint8 or tensor.ndim != 1:
        raise GLMImageError(f"{source}: must be text as uint8 [n] (got {tensor.dtype} {list(tensor.shape)})")
    return decode(tensor.cpu().numpy().tobytes(), source)
