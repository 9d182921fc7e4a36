"""Stage 1: the vision tower and its codebook learn what stands in every cell.

The codebook is a classifier by angle: the feature of a cell is drawn to the direction of its code. Both scales share it:
the picture at half size gives the target's cells, at a quarter the preview's.
"""

import random

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..images import resize
from ..vision import SemanticVQ
from .held_out import WORDS
from .posters import SIDE, cell_codes, draw_poster, mixed_posters, preview_codes, random_poster, to_tensor

SHARPNESS = 20.0  # of the softmax over cosines


def tower_pixels(images: Tensor, side: int) -> Tensor:
    """[B, H, W, 3] in 0...1 → [B, 3, side, side] in -1...1."""
    return resize(images, side, side, Image.Resampling.BICUBIC).movedim(-1, 1) * 2 - 1


def code_logits(model: SemanticVQ, pixels: Tensor) -> Tensor:
    """[B, cells, codes]: cosines of features and codes, sharpened."""
    features = model.vqmodel.quant_conv(model.visual(pixels)).flatten(2).transpose(1, 2)
    codes = model.vqmodel.quantize.embedding.weight
    return SHARPNESS * F.normalize(features.float(), dim=-1) @ F.normalize(codes.float(), dim=-1).T


def vision_loss(model: SemanticVQ, batch: int, rng: random.Random, device) -> Tensor:
    posters = mixed_posters(rng, batch, WORDS)
    images = to_tensor([draw_poster(poster) for poster in posters])
    losses = []
    for side, codes_of in ((SIDE // 2, cell_codes), (SIDE // 4, preview_codes)):
        codes = torch.tensor([codes_of(poster) for poster in posters], device=device).flatten()
        losses.append(F.cross_entropy(code_logits(model, tower_pixels(images, side).to(device)).flatten(0, 1), codes))
    return sum(losses)


@torch.inference_mode()
def code_accuracy(model: SemanticVQ, rng: random.Random, posters: int, device) -> float:
    """Share of cells of the target grid that are read as what stands there."""
    drawn = [random_poster(rng) for _ in range(posters)]
    ids = model(tower_pixels(to_tensor([draw_poster(poster) for poster in drawn]), SIDE // 2).to(device))
    return (ids.cpu() == torch.tensor([cell_codes(poster) for poster in drawn])).float().mean().item()
