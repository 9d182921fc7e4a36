"""Images as float tensors [B, H, W, channels] in 0...1."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from .errors import GLMImageError
from .files import check_file, reason

MOST_PIXELS = 2**27  # 134 million; a small file may claim any number
SIXTEEN_BITS_AS_I = "PNG", "PPM"  # formats of which Pillow reads 16 bits as mode I, some versions only


def read_image(path: Path) -> Tensor:
    """The file's image, float32 [1, H, W, 3] in 0...1, rotated as its EXIF data say.

    Raises GLMImageError if Pillow cannot read the file as an image, if it has more than MOST_PIXELS, or as
    ``to_eight_bits`` does.
    """
    check_file(path, f"image {path}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of many pixels, where MOST_PIXELS decides, and of broken EXIF data
            with Image.open(path) as opened:
                check_pixels(opened, path)
                image = to_eight_bits(ImageOps.exif_transpose(opened), opened.format, path).convert("RGB")
    except GLMImageError:
        raise
    except Exception as error:  # its decoders raise nearly every kind on a broken file
        raise GLMImageError(f"{path}: Pillow cannot read this file as an image ({reason(error)})") from error
    return torch.from_numpy(np.array(image)).float()[None] / 255


def check_pixels(image: Image.Image, path: Path) -> None:
    """Raise GLMImageError, before anything is decoded, if the image is larger than any camera's."""
    if image.width * image.height > MOST_PIXELS:
        raise GLMImageError(f"{path}: an image must have at most {MOST_PIXELS} pixels "
                            f"(got {image.width}x{image.height})")


def to_eight_bits(image: Image.Image, format_name: str | None, path: Path) -> Image.Image:
    """An image of 16 bits as one of 8, which Pillow would cut off at 255 and so make white; others as they are.

    Raises GLMImageError on values without a known range: 32 bits, or floating point.
    """
    if image.mode not in ("I", "F") and not image.mode.startswith("I;16"):
        return image
    if image.mode == "F" or image.mode == "I" and format_name not in SIXTEEN_BITS_AS_I:
        raise GLMImageError(f"{path}: an image must have 8 or 16 bits per channel (got Pillow's mode {image.mode})")
    return Image.fromarray((np.asarray(image, np.float32) / 257).round().astype(np.uint8))


def to_rgb(image: Tensor, name: str = "reference image") -> Tensor:
    """Images [B, H, W, 1, 3 or 4] → [B, H, W, 3]: repeat a grey channel, drop an alpha channel.

    Raises GLMImageError about ``name`` on other shapes.
    """
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4):
        raise GLMImageError(f"{name}: the shape must be [B, H, W, 1, 3 or 4 channels] (got {list(image.shape)})")
    return image.expand(-1, -1, -1, 3) if image.shape[-1] == 1 else image[..., :3]


def resize(image: Tensor, width: int, height: int, resample: Image.Resampling) -> Tensor:
    """RGB images [B, H, W, 3] → float32 [B, height, width, 3] on the CPU, by Pillow in 8 bits, as upstream does."""
    pixels = (image.float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    resized = [np.asarray(Image.fromarray(item).resize((width, height), resample)) for item in pixels]
    return torch.from_numpy(np.stack(resized)).float() / 255


def fit_image(image: Tensor, width: int, height: int) -> Tensor:
    """Images [B, H, W, channels] → float32 [B, height, width, 3] on the CPU, for the VAE.

    Resampled with Lanczos, as by diffusers' VaeImageProcessor. Raises GLMImageError as ``to_rgb`` does.
    """
    return resize(to_rgb(image), width, height, Image.Resampling.LANCZOS)


def fit_mask(mask: Tensor, width: int, height: int) -> Tensor:
    """Masks [B, H, W] in 0...1 → float32 [B, height, width], bilinear with antialiasing."""
    with_channel = mask[:, None].float()
    return F.interpolate(with_channel, (height, width), mode="bilinear", antialias=True)[:, 0].clamp(0, 1)


def to_image(pixels: Tensor) -> Image.Image:
    """An 8-bit image of pixels [H, W, 3] in 0...1."""
    return Image.fromarray((pixels * 255).round().byte().cpu().numpy())


def replace_images(images: Tensor, numbers: Sequence[int], replacements: Tensor) -> Tensor:
    """A batch of images [B, H, W, channels] with others in the place of those with these numbers, counted from 0.

    Raises GLMImageError unless there is one replacement of the images' size for each number, and an image for it.
    """
    if len(replacements) != len(numbers):
        raise GLMImageError(f"replacements must have one image for each index (got {len(replacements)} images for "
                            f"{len(numbers)} indices)")
    if max(numbers, default=0) >= len(images):
        raise GLMImageError(f"indices must be from 0 to {len(images) - 1}, as the batch has {len(images)} images "
                            f"(got {max(numbers)})")
    if replacements.shape[1:] != images.shape[1:]:
        raise GLMImageError("replacements must have the images' height, width and channels, "
                            f"{list(images.shape[1:])} (got {list(replacements.shape[1:])})")
    replaced = images.clone()
    replaced[list(numbers)] = replacements.to(images)
    return replaced
