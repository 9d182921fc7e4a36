"""Images → plans: the token grids that the vision tower reads from them."""

import torch
from einops import rearrange
from PIL import Image
from torch import Tensor

from ..geometry import reference_size
from ..images import resize, to_rgb
from ..plans import Plan, Read
from .model import SemanticVQ, VisionConfig


def encoder_pixels(image: Tensor, config: VisionConfig) -> Tensor:
    """Images [B, H, W, channels] in 0...1 → what the tower sees: [B, 3, h, w] in -1...1, half of ``reference_size``.

    Bicubic in 8 bits, like transformers' Pillow back-end; its torchvision back-end differs by up to 2/255.
    Raises GLMImageError if the image has a size or number of channels that is not accepted.
    """
    width, height = reference_size(image.shape[2], image.shape[1], config.shortest_side, config.longest_side)
    resized = resize(to_rgb(image), width // 2, height // 2, Image.Resampling.BICUBIC)
    return rearrange(resized, "b h w c -> b c h w") * 2 - 1


@torch.inference_mode()
def tokenize(model: SemanticVQ, image: Tensor, device: torch.device | str = "cpu",
             dtype: torch.dtype = torch.float32) -> Plan:
    """The tokens of images [B, H, W, channels] in 0...1: a plan of B items, at the images' ``reference_size``.

    device, dtype: those of the activations. Raises GLMImageError as ``encoder_pixels`` does.
    """
    size = image.shape[2], image.shape[1]
    ids = torch.cat([model(item[None].to(device, dtype)) for item in encoder_pixels(image, model.config)])
    return Plan(ids, origins=(Read(size),) * len(ids))
