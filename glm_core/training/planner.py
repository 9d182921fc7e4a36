"""Stage 3: the planner learns captions → codes by next-token prediction, the preview's tokens weighted up.

Some captions come without preview, and edits come with the codes of the poster before.
"""

import random
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..glyph import quoted_texts
from ..plan import TOKEN_PIXELS, Plan
from ..planner import PlannerModel, PromptTokenizer, prepare
from ..planner.grids import positions
from ..planner.model import rotary_table
from ..planner.run import Job
from .edits import random_edit, random_letters
from .held_out import WORDS
from .posters import (
    CELL_CODES,
    GRID,
    SIDE,
    Poster,
    Style,
    caption,
    cell_codes,
    coarse,
    preview_codes,
    random_poster,
    random_style,
    with_pair,
)

TARGET, PREVIEW = (GRID, GRID), (GRID // 2, GRID // 2)
PREVIEW_WEIGHT = 2.0
LETTER_CODES = torch.tensor([i for code, i in CELL_CODES.items() if code[0] == "letter"])


@dataclass(frozen=True)
class Mix:
    """What a stage trains on: share of posters that are free, of batches of edits, and of other batches without preview.

    ``cells``: of the posters' sides, the resolution. ``fine``: with the whole codebook, not the coarse one. ``pairs``,
    ``serif``: shares of posters that quote both letters of some pair, and of those with serifs. ``letters``: weight of a letter's
    token in the loss, in which most tokens are of empty cells and say little.
    """

    cells: int = GRID
    free: float = 0.0
    edits: float = 0.0
    bare: float = 0.0
    fine: bool = True
    pairs: float = 0.0
    serif: float = 0.0
    letters: float = 1.0


class Uncached:
    """Stands for a KVCache where a whole sequence is run at once and must stay differentiable."""

    @staticmethod
    def write(layer: int, start: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return k, v


def lesson(model: PlannerModel, tokenizer: PromptTokenizer, poster: Poster, preview: bool = True,
           fine: bool = True) -> tuple[Job, list[int]]:
    """A run as generation lays it out, and the codes it should write."""
    prompt, side = caption(poster), poster.cells * TOKEN_PIXELS
    job = prepare(tokenizer, model.config, prompt, side, side, preview=preview)
    target = cell_codes(poster, quoted_texts(prompt)) if fine else coarse(cell_codes(poster))
    grids = (preview_codes(poster), target) if preview else (target,)
    return job, [code for grid in grids for row in grid for code in row]


def edit_lesson(model: PlannerModel, tokenizer: PromptTokenizer, rng: random.Random, style: Style) -> tuple[Job, list[int]]:
    edit = random_edit(rng, random_letters(rng), WORDS, style)
    before = Plan(torch.tensor([cell_codes(edit.before)]))
    after = cell_codes(edit.after, quoted_texts(edit.sentence))
    return prepare(tokenizer, model.config, edit.sentence, SIDE, SIDE, [before]), [code for row in after for code in row]


def draw_lessons(model: PlannerModel, tokenizer: PromptTokenizer, batch: int, mix: Mix, rng: random.Random) -> list[tuple[Job, list[int]]]:
    styles = [random_style(rng, mix.serif, mix.free) for _ in range(batch)]
    if rng.random() < mix.edits:
        return [edit_lesson(model, tokenizer, rng, style) for style in styles]
    preview = rng.random() >= mix.bare
    posters = [random_poster(rng, None, WORDS, style, mix.cells) for style in styles]
    posters = [with_pair(rng, poster, WORDS) if rng.random() < mix.pairs else poster for poster in posters]
    return [lesson(model, tokenizer, poster, preview, mix.fine) for poster in posters]


def batched_rotary(jobs: list[Job], length: int, config) -> tuple[Tensor, Tensor]:
    """Tables [B, 1, length, pairs]: each item's own positions, with zeros behind its end."""
    tables = [positions([*job.segments, *job.grids]) for job in jobs]
    padded = torch.stack([F.pad(table, (0, length + 1 - table.shape[1]))[:, :length] for table in tables], dim=1)
    cos, sin = rotary_table(padded.flatten(1), config, torch.float32)
    return tuple(table.view(len(jobs), 1, length, -1) for table in (cos, sin))


def code_logits(model: PlannerModel, jobs: list[Job], codes: Tensor, device) -> Tensor:
    """Logits [B, n, V] for codes [B, n], each given the prompt and the codes before it. Rows are padded behind, where nothing looks."""
    n = codes.shape[1]
    prompts = [job.prompt_ids[0] for job in jobs]
    length = max(map(len, prompts)) + n - 1
    ids = torch.zeros(len(prompts), length, dtype=torch.int64)
    for row, prompt, written in zip(ids, prompts, codes):
        row[: len(prompt)] = prompt
        row[len(prompt) : len(prompt) + n - 1] = written[:-1]
    rotary = tuple(table.to(device) for table in batched_rotary(jobs, length, model.config))
    hidden = model(model.embed(ids, device, torch.float32), rotary, Uncached, 0)
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])[:, None] + torch.arange(n)
    return model.lm_head(hidden.gather(1, last[..., None].expand(-1, -1, hidden.shape[-1]).to(device)))


def token_weights(codes: Tensor, mix: Mix) -> Tensor:
    """What each token of plans [B, n] counts in the loss."""
    weights = torch.where(torch.isin(codes, LETTER_CODES), mix.letters, 1.0)
    weights[:, : codes.shape[1] - mix.cells**2] = PREVIEW_WEIGHT
    return weights


def planner_loss(model: PlannerModel, tokenizer: PromptTokenizer, batch: int, mix: Mix, rng: random.Random, device) -> Tensor:
    jobs, wanted = zip(*draw_lessons(model, tokenizer, batch, mix, rng))
    codes = torch.tensor(wanted)
    logits = code_logits(model, jobs, codes, device).float()
    loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten().to(device), reduction="none").view(codes.shape)
    weight = token_weights(codes, mix).to(device)
    return (loss * weight).sum() / weight.sum()


@torch.inference_mode()
def teacher_forced_accuracy(model: PlannerModel, tokenizer: PromptTokenizer, rng: random.Random, posters: int, device) -> float:
    """Share of the target's codes that come first when all before them are right, on the grid."""
    jobs, wanted = zip(*(lesson(model, tokenizer, random_poster(rng)) for _ in range(posters)))
    codes = torch.tensor(wanted)
    best = code_logits(model, jobs, codes, device).argmax(-1).cpu()
    return (best == codes)[:, -GRID * GRID :].float().mean().item()
