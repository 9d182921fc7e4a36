"""A planner at work on one job: the prompt once, then token after token."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .grids import Grid, positions
from .model import CacheAt, KVCache, PlannerModel, rotary_table

Capture = Callable[[Callable[[], None]], Callable[[], None]]  # a pass → what replays it


@dataclass(frozen=True)
class Job:
    """What a run is made of: prompt_ids [1 or B, P], the prompt's segments, and the grids in the order they are written.

    ``prompt``: what the user wrote.
    """

    prompt: str
    prompt_ids: Tensor
    segments: list[int | Grid]
    grids: list[Grid]

    @property
    def new_tokens(self) -> int:
        return sum(rows * columns for rows, columns in self.grids)

    @property
    def length(self) -> int:
        return self.prompt_ids.shape[1] + self.new_tokens


@dataclass(frozen=True)
class Run:
    """A model at work on one job: the cache it fills, the positions of all tokens, the embeddings [codes, hidden] of the codebook.

    Written tokens are looked up in ``codes``, so that the table of the whole vocabulary, ten times as large, is not touched
    between one token and the next and need not be on the device.
    """

    model: PlannerModel
    rotary: tuple[Tensor, Tensor]
    cache: KVCache
    codes: Tensor

    @classmethod
    def of(cls, model: PlannerModel, job: Job, batch: int, device, dtype: torch.dtype) -> Run:
        rotary = tuple(table.to(device) for table in rotary_table(positions([*job.segments, *job.grids]), model.config, dtype))
        cache = KVCache(model.config, batch, job.length, device, dtype)
        return cls(model, rotary, cache, model.code_embeddings(device, dtype))

    def prefill(self, prompt_ids: Tensor) -> Tensor:
        """Run the prompt [1 or B, P] through the model once; logits [1 or B, V] for the first new token."""
        x = self.model.embed(prompt_ids, self.codes.device, self.codes.dtype)
        return self.model.lm_head(self.hidden(x, 0)[:, -1])

    def decode(self, ids: Tensor, at: int) -> Tensor:
        """Logits [B, n, V] for what follows each of the codes ids [B, n], which stand from position ``at`` of the cache."""
        return self.model.lm_head(self.hidden(F.embedding(ids, self.codes), at))

    def hidden(self, x: Tensor, at: int) -> Tensor:
        return self.model(x, tuple(table[at : at + x.shape[1]] for table in self.rotary), self.cache, at)


@dataclass(frozen=True)
class CapturedRun(Run):
    """A run whose passes of one token are recorded once and replayed from then on, so that Python and the starting of kernels take
    no part in them.

    All that changes from token to token stands in tensors: the token, its position, and which keys there are to see. So does the
    result, ``logits`` [B, 1, V], which the following pass overwrites.
    """

    ids: Tensor
    at: Tensor
    logits: Tensor
    replay: Callable[[], None]

    @classmethod
    def of_run(cls, run: Run, first: int, capture: Capture) -> CapturedRun:
        """Capturing may run the pass, which then writes the cache at position ``first``; the first token overwrites that."""
        batch, vocabulary = run.cache.keys.shape[1], run.model.config.vision_vocab_size
        ids = torch.zeros(batch, 1, dtype=torch.int64, device=run.codes.device)
        at = torch.full((1,), first, device=run.codes.device)
        logits = run.codes.new_empty(batch, 1, vocabulary)
        for unwritten in (run.cache.keys[..., first:, :], run.cache.values[..., first:, :]):
            unwritten.zero_()  # nobody sees it, but zero times what is not a number is not zero
        cache = CacheAt(run.cache.layers)

        def step() -> None:
            cache.look_at(at)
            rotary = tuple(table.index_select(0, at) for table in run.rotary)
            logits.copy_(run.model.lm_head(run.model(F.embedding(ids, run.codes), rotary, cache, at)))

        return cls(run.model, run.rotary, run.cache, run.codes, ids, at, logits, capture(step))

    def decode(self, ids: Tensor, at: int) -> Tensor:
        if ids.shape[1] > 1:
            return super().decode(ids, at)
        self.ids.copy_(ids)
        self.at.fill_(at)
        self.replay()
        return self.logits


def cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """A ``Capture`` for CUDA. Libraries set themselves up in a first pass, which must not be recorded.

    What other threads ask of the GPU meanwhile is their own affair ("thread_local"). ComfyUI 0.33 records blocks of its own text
    models in this way (comfy/model_prefetch.py). No GPU has run this one yet; on a CPU the tests replay a trace in its place.
    """
    aside, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    return graph.replay


def cuda_graph_if_possible(step: Callable[[], None]) -> Callable[[], None]:
    """``cuda_graph``, or with a warning the pass as it is, where a library or too little memory does not let it be recorded."""
    try:
        return cuda_graph(step)
    except RuntimeError as error:
        logging.warning("the planner's pass is not recorded, so that tokens may take longer: %s", error)
        return step
