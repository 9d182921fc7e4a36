"""Stage 3: the planner learns captions → codes by next-token prediction, the preview's tokens weighted up.

Some captions come without preview, and edits come with the codes of the poster before.
"""

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..geometry import TOKEN_PIXELS
from ..glyph import quoted_texts
from ..planner import PlannerModel, PromptLayout, PromptTokenizer, lay_out_prompt, token_logits
from ..plans import Plan
from ..posters.edits import random_edit, random_letters
from ..posters.held_out import WORDS
from ..posters.scene import (
    CELL_CODES,
    GRID,
    SIDE,
    Poster,
    Style,
    caption,
    cell_codes,
    coarse,
    coarse_grid_codes,
    random_poster,
    random_style,
    with_pair,
)

TARGET, COARSE = (GRID, GRID), (GRID // 2, GRID // 2)
COARSE_WEIGHT = 2.0
LETTER_CODES = torch.tensor([i for code, i in CELL_CODES.items() if code[0] == "letter"])


@dataclass(frozen=True)
class Mix:
    """What a stage trains on: share of posters that are free, of batches of edits, and of other batches without preview.

    ``cells``: of the posters' sides, the resolution. ``full_codebook``: with the whole codebook, not the coarse one. ``pairs``,
    ``serif``: shares of posters that quote both letters of some pair, and of those with serifs. ``letters``: weight of a letter's
    token in the loss, in which most tokens are of empty cells and say little.
    """

    cells: int = GRID
    free: float = 0.0
    edits: float = 0.0
    no_coarse: float = 0.0
    full_codebook: bool = True
    pairs: float = 0.0
    serif: float = 0.0
    letters: float = 1.0


def training_example(model: PlannerModel, tokenizer: PromptTokenizer, poster: Poster, coarse_grid: bool = True,
                     full_codebook: bool = True) -> tuple[PromptLayout, list[int]]:
    """A run as generation lays it out, and the codes it should write."""
    prompt, side = caption(poster), poster.cells * TOKEN_PIXELS
    layout = lay_out_prompt(tokenizer, model.config, prompt, side, side, coarse=coarse_grid)
    target = cell_codes(poster, quoted_texts(prompt)) if full_codebook else coarse(cell_codes(poster))
    grids = (coarse_grid_codes(poster), target) if coarse_grid else (target,)
    return layout, [code for grid in grids for row in grid for code in row]


def edit_example(model: PlannerModel, tokenizer: PromptTokenizer, rng: random.Random, style: Style) -> tuple[PromptLayout, list[int]]:
    edit = random_edit(rng, random_letters(rng), WORDS, style)
    before = Plan(torch.tensor([cell_codes(edit.before)]))
    after = cell_codes(edit.after, quoted_texts(edit.sentence))
    return lay_out_prompt(tokenizer, model.config, edit.sentence, SIDE, SIDE, [before]), [code for row in after for code in row]


def draw_examples(model: PlannerModel, tokenizer: PromptTokenizer, batch: int, mix: Mix,
                  rng: random.Random) -> list[tuple[PromptLayout, list[int]]]:
    styles = [random_style(rng, mix.serif, mix.free) for _ in range(batch)]
    if rng.random() < mix.edits:
        return [edit_example(model, tokenizer, rng, style) for style in styles]
    coarse_grid = rng.random() >= mix.no_coarse
    posters = [random_poster(rng, None, WORDS, style, mix.cells) for style in styles]
    posters = [with_pair(rng, poster, WORDS) if rng.random() < mix.pairs else poster for poster in posters]
    return [training_example(model, tokenizer, poster, coarse_grid, mix.full_codebook) for poster in posters]


def token_weights(codes: Tensor, mix: Mix) -> Tensor:
    """What each token of plans [B, n] counts in the loss."""
    weights = torch.where(torch.isin(codes, LETTER_CODES), mix.letters, 1.0)
    weights[:, : codes.shape[1] - mix.cells**2] = COARSE_WEIGHT
    return weights


def planner_loss(model: PlannerModel, tokenizer: PromptTokenizer, batch: int, mix: Mix, rng: random.Random, device) -> Tensor:
    layouts, wanted = zip(*draw_examples(model, tokenizer, batch, mix, rng))
    codes = torch.tensor(wanted)
    logits = token_logits(model, layouts, codes, device).float()
    loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten().to(device), reduction="none").view(codes.shape)
    weight = token_weights(codes, mix).to(device)
    return (loss * weight).sum() / weight.sum()


@torch.inference_mode()
def teacher_forced_accuracy(model: PlannerModel, tokenizer: PromptTokenizer, rng: random.Random, posters: int, device) -> float:
    """Share of the target's codes that come first when all before them are right, on the grid."""
    layouts, wanted = zip(*(training_example(model, tokenizer, random_poster(rng)) for _ in range(posters)))
    codes = torch.tensor(wanted)
    best = token_logits(model, layouts, codes, device).argmax(-1).cpu()
    return (best == codes)[:, -GRID * GRID :].float().mean().item()
