"""Pictures → plans: the token grids that the vision tower reads off them."""

import torch
from PIL import Image
from torch import Tensor

from ..geometry import reference_size
from ..images import resize, to_rgb
from ..plans import Plan, Read
from .model import SemanticVQ, VisionConfig


def encoder_pixels(image: Tensor, config: VisionConfig) -> Tensor:
    """Pictures [B, H, W, channels] in 0...1 → what the tower sees: [B, 3, h, w] in -1...1, half of ``reference_size``.

    Bicubic in 8 bits as transformers' Pillow back-end; its torchvision back-end differs by up to 2/255.
    """
    width, height = reference_size(image.shape[2], image.shape[1], config.shortest_side, config.longest_side)
    return resize(to_rgb(image), width // 2, height // 2, Image.Resampling.BICUBIC).movedim(-1, 1) * 2 - 1


@torch.inference_mode()
def tokenize(model: SemanticVQ, image: Tensor, device: torch.device | str = "cpu", dtype=torch.float32) -> Plan:
    """A plan of the image's own tokens, one item for each image of the batch, of its ``reference_size``."""
    ids = torch.cat([model(item[None].to(device, dtype)) for item in encoder_pixels(image, model.config)])
    return Plan(ids, origins=(Read((image.shape[2], image.shape[1])),) * len(ids))
