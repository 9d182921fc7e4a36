"""Stage 1: the vision tower and its codebook learn to read the code of every cell from a picture.

The codebook classifies by angle: a cell's feature is pulled towards the direction of its code. Both grids share it: the
tower reads the target grid from the picture at half its size, and the coarse grid at a quarter.
"""

import random

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..images import resize
from ..posters import (
    HELD_OUT_WORDS,
    SIDE,
    cell_codes,
    coarse_grid_codes,
    draw_poster,
    mixed_posters,
    random_dense_page,
    random_style,
)
from ..vision import SemanticVQ
from .pixels import to_tensor

TARGET_SIDE, COARSE_SIDE = SIDE // 2, SIDE // 4  # of the tower's input for each grid, in pixels
SHARPNESS = 20.0  # factor of the cosines before the softmax


def tower_pixels(images: Tensor, side: int) -> Tensor:
    """Images [B, H, W, 3] in 0...1 → the tower's input [B, 3, side, side] in -1...1."""
    return resize(images, side, side, Image.Resampling.BICUBIC).movedim(-1, 1) * 2 - 1


def code_logits(model: SemanticVQ, pixels: Tensor) -> Tensor:
    """Pixels [B, 3, H, W] in -1...1 → [B, cells, codes]: cosines between features and codes, times SHARPNESS."""
    features = model.vqmodel.quant_conv(model.visual(pixels)).flatten(2).transpose(1, 2)
    codes = model.vqmodel.quantize.embedding.weight
    return SHARPNESS * F.normalize(features.float(), dim=-1) @ F.normalize(codes.float(), dim=-1).T


def reading_loss(model: SemanticVQ, images: Tensor, side: int, codes: list[list[list[int]]],
                 device: torch.device) -> Tensor:
    """Cross-entropy of the codes [B, rows, columns] of images [B, H, W, 3] in 0...1, read at ``side`` pixels."""
    logits = code_logits(model, tower_pixels(images, side).to(device))
    return F.cross_entropy(logits.flatten(0, 1), torch.tensor(codes, device=device).flatten())


def vision_loss(model: SemanticVQ, batch: int, serif: float, rng: random.Random, device: torch.device) -> Tensor:
    """Loss of reading the target grids of posters and dense pages, and the coarse grids of the posters.

    serif: share of posters and pages with serif letters.
    """
    posters = mixed_posters(rng, batch // 2, HELD_OUT_WORDS, serif)
    pages = [random_dense_page(rng, random_style(rng, serif), HELD_OUT_WORDS) for _ in posters]
    images = to_tensor([draw_poster(poster) for poster in posters + pages])
    target = [cell_codes(poster) for poster in posters + pages]
    coarse = [coarse_grid_codes(poster) for poster in posters]
    target_loss = reading_loss(model, images, TARGET_SIDE, target, device)
    return target_loss + reading_loss(model, images[: len(posters)], COARSE_SIDE, coarse, device)


@torch.inference_mode()
def code_accuracy(model: SemanticVQ, serif: float, rng: random.Random, count: int, device: torch.device) -> float:
    """Share of the target grid's cells that are read right, over ``count`` posters. serif: share with serif letters."""
    posters = mixed_posters(rng, count, serif=serif)
    images = to_tensor([draw_poster(poster) for poster in posters])
    ids = model(tower_pixels(images, TARGET_SIDE).to(device))
    codes = torch.tensor([cell_codes(poster) for poster in posters])
    return (ids.cpu() == codes).float().mean().item()
