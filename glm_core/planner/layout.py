"""A request as the planner's tokens: reference images, prompt, and the grids to write."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..geometry import TOKEN_PIXELS, Grid, plan_grids
from ..plans import Plan, check_batch
from .model import PlannerConfig
from .prompt import PromptTokenizer

REMARKABLE_TOKENS = 4000  # of a prompt's text

@dataclass(frozen=True)
class PromptLayout:
    """What a planner reads, and the grids that it then writes.

    prompt: what the user wrote.
    prompt_ids: int64 [1 or B, P], on the CPU.
    segments: what these P tokens are, in order: a number of text tokens, or the grid of a reference image.
    grids: rows and columns of each grid in the order of writing, the target last.
    """

    prompt: str
    prompt_ids: Tensor
    segments: list[int | Grid]
    grids: list[Grid]

    @property
    def new_tokens(self) -> int:
        """Number of tokens to write, per item."""
        return sum(rows * columns for rows, columns in self.grids)

    @property
    def length(self) -> int:
        """Number of tokens of prompt and grids together."""
        return self.prompt_ids.shape[1] + self.new_tokens

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        rows, columns = self.grids[-1]
        return columns * TOKEN_PIXELS, rows * TOKEN_PIXELS


def lay_out_prompt(tokenizer: PromptTokenizer, config: PlannerConfig, prompt: str, width: int, height: int,
                   references: Sequence[Plan] = (), coarse: bool = True) -> PromptLayout:
    """The layout of a prompt for a picture of width x height pixels.

    Without references, the prompt names the target grid, then the coarse grid, and the model writes them in reverse
    order, as in transformers. With references, the prompt is each image's tokens between start and end, then the text,
    and there is no coarse grid.

    references: the tokens of reference images, each one item for all plans or one item per plan.
    coarse: False leaves out the coarse grid in any case; the released model was not trained for that.
    Raises GLMImageError on a size that is not accepted, on references of unequal batches, and on tokens outside the
    codebook.
    """
    target, coarse_grid = plan_grids(width, height, config.coarse_tokens)
    grids = [target, coarse_grid] if coarse and not references else [target]
    text = tokenizer.encode_prompt(prompt, grids, config.image_start_token_id)
    if len(text) > REMARKABLE_TOKENS:
        logging.info("the prompt has %d tokens; reading it takes time and memory, and the model was trained on shorter "
                     "ones", len(text))
    batch = common_batch(references)
    for i, reference in enumerate(references, 1):
        reference.check_codes(config.codebook_size, f"reference {i}")
    images = [image_ids(config, reference, batch) for reference in references]
    prompt_ids = torch.cat([*images, torch.tensor([text]).expand(batch, -1)], dim=1)
    segments: list[int | Grid] = []
    for reference in references:
        rows, columns = reference.ids.shape[1:]
        segments += [1, (rows, columns), 1]
    return PromptLayout(prompt, prompt_ids, [*segments, len(text)], grids[::-1])


def common_batch(references: Sequence[Plan]) -> int:
    """The batch size that all references have, or 1. Raises GLMImageError if two sizes above 1 differ."""
    batch = max((reference.batch for reference in references), default=1)
    for i, reference in enumerate(references, 1):
        check_batch(f"reference {i}", reference.batch, batch, "like that of another reference")
    return batch


def image_ids(config: PlannerConfig, reference: Plan, batch: int) -> Tensor:
    """Start, tokens of a reference image, end: int64 [batch, rows * columns + 2]."""
    start, end = (torch.full((batch, 1), token) for token in (config.image_start_token_id, config.image_end_token_id))
    return torch.cat([start, reference.ids.cpu().flatten(1).expand(batch, -1), end], dim=1)


def warn_of_untrained_size(config: PlannerConfig, width: int, height: int) -> None:
    """Log a message if a side, in pixels, is not one that the model was trained for."""
    smallest, largest = config.trained_sides
    if min(width, height) < smallest or max(width, height) > largest:
        sides = f"{smallest} to {largest}" if smallest < largest else smallest
        logging.info("the model was trained for sides of %s pixels; %dx%d may look worse", sides, width, height)
