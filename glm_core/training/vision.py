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
from ..posters.held_out import WORDS
from ..posters.scene import SIDE, cell_codes, coarse_grid_codes, draw_poster, mixed_posters, random_dense_page, random_style, to_tensor
from ..vision import SemanticVQ

SHARPNESS = 20.0  # of the softmax over cosines


def tower_pixels(images: Tensor, side: int) -> Tensor:
    """[B, H, W, 3] in 0...1 → [B, 3, side, side] in -1...1."""
    return resize(images, side, side, Image.Resampling.BICUBIC).movedim(-1, 1) * 2 - 1


def code_logits(model: SemanticVQ, pixels: Tensor) -> Tensor:
    """[B, cells, codes]: cosines of features and codes, sharpened."""
    features = model.vqmodel.quant_conv(model.visual(pixels)).flatten(2).transpose(1, 2)
    codes = model.vqmodel.quantize.embedding.weight
    return SHARPNESS * F.normalize(features.float(), dim=-1) @ F.normalize(codes.float(), dim=-1).T


def vision_loss(model: SemanticVQ, batch: int, serif: float, rng: random.Random, device) -> Tensor:
    """Of the target's cells of posters and walls, and of the preview's of posters."""
    posters = mixed_posters(rng, batch // 2, WORDS, serif)
    walls = [random_dense_page(rng, random_style(rng, serif), WORDS) for _ in posters]
    images = to_tensor([draw_poster(poster) for poster in posters + walls])
    target, preview = [cell_codes(poster) for poster in posters + walls], [coarse_grid_codes(poster) for poster in posters]
    return reading_loss(model, images, SIDE // 2, target, device) + reading_loss(model, images[: len(posters)], SIDE // 4, preview, device)


def reading_loss(model: SemanticVQ, images: Tensor, side: int, codes: list[list[list[int]]], device) -> Tensor:
    logits = code_logits(model, tower_pixels(images, side).to(device))
    return F.cross_entropy(logits.flatten(0, 1), torch.tensor(codes, device=device).flatten())


@torch.inference_mode()
def code_accuracy(model: SemanticVQ, serif: float, rng: random.Random, posters: int, device) -> float:
    """Share of cells of the target grid that are read as what stands there."""
    drawn = mixed_posters(rng, posters, serif=serif)
    ids = model(tower_pixels(to_tensor([draw_poster(poster) for poster in drawn]), SIDE // 2).to(device))
    return (ids.cpu() == torch.tensor([cell_codes(poster) for poster in drawn])).float().mean().item()
