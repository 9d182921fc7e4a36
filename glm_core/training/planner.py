"""Stage 3: the planner learns captions → codes by next-token prediction, the preview's tokens weighted up."""

import random

import torch
import torch.nn.functional as F
from torch import Tensor

from ..planner import PlannerModel, PromptTokenizer
from ..planner.grids import positions
from ..planner.model import rotary_table
from .held_out import WORDS
from .posters import GRID, Poster, caption, cell_codes, preview_codes, random_poster

TARGET, PREVIEW = (GRID, GRID), (GRID // 2, GRID // 2)
PREVIEW_WEIGHT = 2.0


class Uncached:
    """Stands for a KVCache where a whole sequence is run at once and must stay differentiable."""

    dtype = torch.float32

    @staticmethod
    def write(layer: int, start: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        return k, v


def sequence(tokenizer: PromptTokenizer, poster: Poster, image_start: int) -> tuple[list[int], list[int]]:
    """Prompt ids, and the codes that follow: preview, then target."""
    prompt = tokenizer.layout(caption(poster), [TARGET, PREVIEW], image_start)
    return prompt, [code for grid in (preview_codes(poster), cell_codes(poster)) for row in grid for code in row]


def batched_rotary(prompts: list[list[int]], length: int, config) -> tuple[Tensor, Tensor]:
    """Tables [B, 1, length, pairs]: each item's own positions, with zeros behind its end."""
    tables = [positions([len(prompt), PREVIEW, TARGET]) for prompt in prompts]
    padded = torch.stack([F.pad(table, (0, length + 1 - table.shape[1]))[:, :length] for table in tables], dim=1)
    cos, sin = rotary_table(padded.flatten(1), config, torch.float32)
    return tuple(table.view(len(prompts), 1, length, -1) for table in (cos, sin))


def code_logits(model: PlannerModel, prompts: list[list[int]], codes: Tensor, device) -> Tensor:
    """Logits [B, n, V] for codes [B, n], each given the prompt and the codes before it. Rows are padded behind, where nothing looks."""
    n = codes.shape[1]
    length = max(map(len, prompts)) + n - 1
    ids = torch.zeros(len(prompts), length, dtype=torch.int64)
    for row, prompt, written in zip(ids, prompts, codes):
        row[: len(prompt)] = torch.tensor(prompt)
        row[len(prompt) : len(prompt) + n - 1] = written[:-1]
    rotary = tuple(table.to(device) for table in batched_rotary(prompts, length, model.config))
    hidden = model(ids.to(device), rotary, Uncached, 0)
    last = torch.tensor([len(prompt) - 1 for prompt in prompts])[:, None] + torch.arange(n)
    return model.lm_head(hidden.gather(1, last[..., None].expand(-1, -1, hidden.shape[-1]).to(device)))


def planner_loss(model: PlannerModel, tokenizer: PromptTokenizer, batch: int, rng: random.Random, device) -> Tensor:
    pairs = [sequence(tokenizer, random_poster(rng, held_out=WORDS), model.config.image_start_token_id) for _ in range(batch)]
    codes = torch.tensor([codes for _, codes in pairs])
    logits = code_logits(model, [prompt for prompt, _ in pairs], codes, device).float()
    loss = F.cross_entropy(logits.flatten(0, 1), codes.flatten().to(device), reduction="none").view(codes.shape)
    first = PREVIEW[0] * PREVIEW[1]
    weight = torch.ones(codes.shape[1], device=device)
    weight[:first] = PREVIEW_WEIGHT
    return (loss * weight).sum() / (len(codes) * weight.sum())


@torch.inference_mode()
def teacher_forced_accuracy(model: PlannerModel, tokenizer: PromptTokenizer, rng: random.Random, posters: int, device) -> float:
    """Share of the target's codes that come first when all before them are right."""
    pairs = [sequence(tokenizer, random_poster(rng), model.config.image_start_token_id) for _ in range(posters)]
    codes = torch.tensor([codes for _, codes in pairs])
    best = code_logits(model, [prompt for prompt, _ in pairs], codes, device).argmax(-1).cpu()
    first = PREVIEW[0] * PREVIEW[1]
    return (best == codes)[:, first:].float().mean().item()
