"""Stage 3: the planner learns to write the codes of posters from their captions, by next-token prediction.

Tokens of the coarse grid weigh more in the loss. Some captions come without a coarse grid, and edits with the codes of
the poster before the edit.
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
from ..posters import (
    CELL_CODES,
    GRID,
    HELD_OUT_WORDS,
    SIDE,
    Poster,
    Style,
    caption,
    cell_codes,
    coarse_grid_codes,
    random_edit,
    random_letters,
    random_poster,
    random_style,
    to_reduced_codebook,
    with_pair,
)

TARGET_GRID, COARSE_GRID = (GRID, GRID), (GRID // 2, GRID // 2)
COARSE_WEIGHT = 2.0  # of tokens of the coarse grid, in the loss
LETTER_CODES = torch.tensor([i for code, i in CELL_CODES.items() if code[0] == "letter"])

Example = tuple[PromptLayout, list[int]]  # what the planner reads, and the tokens that it should write


@dataclass(frozen=True)
class Mix:
    """What a stage trains on.

    cells: rows and columns of the posters' token grid.
    free: share of free posters.
    edits: share of batches that are edits.
    no_coarse: share of the other batches that come without a coarse grid.
    full_codebook: False for the reduced codebook, in which two letters share a code.
    pairs: share of posters whose texts have both letters of some pair.
    serif: share of posters with serif letters.
    letters: weight, in the loss, of tokens that show letters. Most tokens show empty cells, which are easy.
    """

    cells: int = GRID
    free: float = 0.0
    edits: float = 0.0
    no_coarse: float = 0.0
    full_codebook: bool = True
    pairs: float = 0.0
    serif: float = 0.0
    letters: float = 1.0


def flatten(*grids: list[list[int]]) -> list[int]:
    """The codes of all grids in the order of writing."""
    return [code for grid in grids for row in grid for code in row]


def training_example(model: PlannerModel, tokenizer: PromptTokenizer, poster: Poster, with_coarse: bool = True,
                     full_codebook: bool = True) -> Example:
    """A poster's caption, laid out as for generation, and the poster's codes, with or without the coarse grid's."""
    prompt = caption(poster)
    side = poster.cells * TOKEN_PIXELS
    layout = lay_out_prompt(tokenizer, model.config, prompt, side, side, coarse=with_coarse)
    target = cell_codes(poster, quoted_texts(prompt)) if full_codebook else to_reduced_codebook(cell_codes(poster))
    grids = [coarse_grid_codes(poster), target] if with_coarse else [target]
    return layout, flatten(*grids)


def edit_example(model: PlannerModel, tokenizer: PromptTokenizer, rng: random.Random, style: Style) -> Example:
    """A random edit: its sentence after the codes of the poster before, and the codes of the poster after."""
    edit = random_edit(rng, random_letters(rng), HELD_OUT_WORDS, style)
    before = Plan(torch.tensor([cell_codes(edit.before)]))
    layout = lay_out_prompt(tokenizer, model.config, edit.sentence, SIDE, SIDE, [before])
    return layout, flatten(cell_codes(edit.after, quoted_texts(edit.sentence)))


def draw_examples(model: PlannerModel, tokenizer: PromptTokenizer, batch: int, mix: Mix,
                  rng: random.Random) -> list[Example]:
    """A batch of examples, all with the same number of tokens to write."""
    styles = [random_style(rng, mix.serif, mix.free) for _ in range(batch)]
    if rng.random() < mix.edits:
        return [edit_example(model, tokenizer, rng, style) for style in styles]
    with_coarse = rng.random() >= mix.no_coarse
    posters = [random_poster(rng, None, HELD_OUT_WORDS, style, mix.cells) for style in styles]
    posters = [with_pair(rng, poster, HELD_OUT_WORDS) if rng.random() < mix.pairs else poster for poster in posters]
    return [training_example(model, tokenizer, poster, with_coarse, mix.full_codebook) for poster in posters]


def token_weights(codes: Tensor, mix: Mix) -> Tensor:
    """How much codes [B, n], in the order of writing, weigh in the loss: float32 [B, n]."""
    weights = torch.where(torch.isin(codes, LETTER_CODES), mix.letters, 1.0)
    coarse_tokens = codes.shape[1] - mix.cells**2
    weights[:, :coarse_tokens] = COARSE_WEIGHT
    return weights


def planner_loss(model: PlannerModel, tokenizer: PromptTokenizer, batch: int, mix: Mix, rng: random.Random,
                 device: torch.device) -> Tensor:
    """Weighted mean of the cross-entropy of the codes of a random batch."""
    layouts, targets = zip(*draw_examples(model, tokenizer, batch, mix, rng))
    codes = torch.tensor(targets)
    logits = token_logits(model, layouts, codes, device).float()
    loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten().to(device), reduction="none").view(codes.shape)
    weight = token_weights(codes, mix).to(device)
    return (loss * weight).sum() / weight.sum()


@torch.inference_mode()
def teacher_forced_accuracy(model: PlannerModel, tokenizer: PromptTokenizer, rng: random.Random, count: int,
                            device: torch.device) -> float:
    """Share of the target grid's codes that the planner finds most likely, given the right codes before them.

    Over ``count`` posters on the token grid.
    """
    examples = [training_example(model, tokenizer, random_poster(rng)) for _ in range(count)]
    layouts, targets = zip(*examples)
    codes = torch.tensor(targets)
    best = token_logits(model, layouts, codes, device).argmax(-1).cpu()
    return (best == codes)[:, -GRID * GRID :].float().mean().item()
