"""Reading the text in ComfyUI's images."""

from collections.abc import Sequence

import comfy.model_management
import numpy as np
import torch
from torch import Tensor

from ..images import to_rgb
from ..ocr import Reading, load_ocr, read_picture


def read_images(images: Tensor, texts: Sequence[str]) -> tuple[list[np.ndarray], list[Reading]]:
    """Images [B, H, W, 1, 3 or 4] in 0...1 as uint8 [H, W, 3], and what is read in each of them.

    texts: those that every image should show. Raises GLMImageError if the OCR is not installed or on other shapes, and
    ComfyUI's InterruptProcessingException on cancel.
    """
    find_text = load_ocr()
    pictures, readings = list(to_bytes(to_rgb(images, "image"))), []
    for picture in pictures:
        comfy.model_management.throw_exception_if_processing_interrupted()
        readings.append(read_picture(picture, texts, find_text))
    return pictures, readings


def to_bytes(images: Tensor) -> np.ndarray:
    """Numbers in 0...1 → uint8 of the same shape."""
    return (images.float().clamp(0, 1) * 255).round().byte().cpu().numpy()


def to_images(pictures: Sequence[np.ndarray]) -> Tensor:
    """uint8 [H, W, 3] each → float32 [B, H, W, 3] in 0...1."""
    return torch.from_numpy(np.stack(pictures)).float() / 255
