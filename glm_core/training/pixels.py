"""Pictures of posters as tensors."""

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..posters import Poster, draw_poster


def to_tensor(images: list[Image.Image]) -> Tensor:
    """Pictures of one size as float32 [B, H, W, 3] in 0...1."""
    return torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255


def to_pixels(posters: list[Poster]) -> Tensor:
    """Posters drawn as the autoencoder's input, float32 [B, 3, H, W] in -1...1."""
    return to_tensor([draw_poster(poster) for poster in posters]).movedim(-1, 1) * 2 - 1
