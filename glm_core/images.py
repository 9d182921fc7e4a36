"""Pictures as float tensors [B, H, W, channels] in 0...1, and the one size at which a reference picture enters the model."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .errors import GLMImageError
from .plan import TOKEN_PIXELS

SHORTEST, LONGEST = 512, 2048  # of the released model
SMALLEST_SIDE = 16
WIDEST = 4


def reference_size(width: int, height: int, shortest: int = SHORTEST, longest: int = LONGEST) -> tuple[int, int]:
    """Size in pixels, multiples of 32, for tokens and latent alike; the token grid is the reference's own.

    The short side is brought up to ``shortest``, then the long side down to ``longest``. transformers rounds so for the token side
    (smart_resize), but diffusers gives the latent side another size, and most pictures then fail or broadcast.
    Raises GLMImageError when a side is below 16 pixels or the aspect ratio above 4.
    """
    short, long = min(width, height), max(width, height)
    if short < SMALLEST_SIDE:
        raise GLMImageError(f"reference image: found {width}x{height} pixels, accepted are sides from {SMALLEST_SIDE} pixels")
    if long > WIDEST * short:
        raise GLMImageError(f"reference image: found {width}x{height} pixels, accepted are aspect ratios up to {WIDEST}")
    scale = max(1.0, shortest / short)
    if long * scale > longest:
        scale = longest / long
    half = TOKEN_PIXELS // 2  # the encoder sees half the pixels, in patches of 16
    return tuple(max(1, round(side // 2 * scale / half)) * TOKEN_PIXELS for side in (width, height))


def read_image(path: Path) -> Tensor:
    """[1, H, W, 3], turned as its EXIF data say. Raises GLMImageError when it is no picture."""
    try:
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    except UnidentifiedImageError as error:
        raise GLMImageError(f"{path}: not a picture that Pillow can read") from error
    return torch.from_numpy(np.array(image)).float()[None] / 255


def to_rgb(image: Tensor) -> Tensor:
    """Drop an alpha channel, repeat a grey one. Raises GLMImageError on other shapes."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise GLMImageError(f"reference image: found shape {list(image.shape)}, accepted are [B, H, W, 1, 3 or 4 channels]")
    return image.expand(-1, -1, -1, 3) if image.shape[-1] == 1 else image[..., :3]


def resize(image: Tensor, width: int, height: int, resample: Image.Resampling) -> Tensor:
    """Resize RGB pictures [B, H, W, 3] with Pillow in 8 bits, as the reference does; float32, on the CPU."""
    pixels = (image.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    resized = [np.asarray(Image.fromarray(item).resize((width, height), resample)) for item in pixels]
    return torch.from_numpy(np.stack(resized)).float() / 255


def fit_image(image: Tensor, width: int, height: int) -> Tensor:
    """A picture at another size, for the VAE (Lanczos, as diffusers' VaeImageProcessor)."""
    return resize(to_rgb(image), width, height, Image.Resampling.LANCZOS)


def fit_mask(mask: Tensor, width: int, height: int) -> Tensor:
    """Masks [B, H, W] in 0...1 at another size, bilinear with antialiasing."""
    return F.interpolate(mask[:, None].float(), (height, width), mode="bilinear", antialias=True)[:, 0].clamp(0, 1)
