"""Pictures to use as reference images."""

import numpy as np
from PIL import Image


def blobs(width: int, height: int, seed: int) -> Image.Image:
    """Blobs of colour, neither flat nor noise, so that neighbouring patches differ. width, height: from 32 pixels."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 32, width // 32, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
