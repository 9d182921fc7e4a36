"""The planner against transformers' generate(): tokens and plans a second, and their share of the memory roofline.

The roof is the time that the bytes of a decode step take at the copy bandwidth measured in the same run; what stays in
a cache, as the weights of a very small planner do, can be read faster than that.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from transformers.generation.streamers import BaseStreamer

from glm_core.checkpoint import PLANNER
from glm_core.pipeline import Compute
from glm_core.planner import PlannerModel, PromptLayout, Sampling, generate_plan, lay_out_prompt
from glm_core.planner.model import KVCache
from glm_core.planner.score import written_tokens
from glm_core.planner.session import Recorder, record_cuda_graph
from glm_core.plans import Plan
from tests.support.tiny import prompt_tokenizer

from .models import make_pair
from .report import Measure, Note
from .sizes import PLANS, Models, Size
from .timing import compare_times, now

PROMPT = "a shop front on a rainy street at night, a cat in the window, a neon sign that says 'OPEN' over the door"
TOKEN_TARGETS = {"12x1024": 1.3, "4x256": 1.8}  # at batch 1, by layers x width
PLANS_TARGET = 2.5


class Clock(BaseStreamer):
    """When generate() handed over the prompt, and then each token."""

    def __init__(self, device: torch.device):
        self.device = device
        self.times: list[float] = []

    def put(self, value) -> None:
        self.times.append(now(self.device))

    def end(self) -> None:
        pass


class OurPlanner:
    """Our planner, and a layout for which it writes plans."""

    def __init__(self, model: PlannerModel, layout: PromptLayout, compute: Compute):
        self.ours, self.layout, self.compute = model, layout, compute

    def plan_ours(self, batch: int, **options) -> Plan:
        return generate_plan(self.ours, self.layout, batch=batch, device=self.compute.device, dtype=self.compute.dtype,
                             **options)

    def time_ours(self, batch: int, recorder: Recorder = nullcontext()) -> tuple[float, float]:
        """Seconds to the first token, and from there to the last."""
        clock = Clock(self.compute.device)

        def on_token(i: int, tokens: Tensor) -> None:
            if i == 0:
                clock.put(tokens)

        start = now(self.compute.device)
        self.plan_ours(batch, on_token=on_token, recorder=recorder)
        first = clock.times[0]
        return first - start, now(self.compute.device) - first

    def bytes_per_step(self, batch: int) -> float:
        """What a decode step has to read: the weights, and keys and values as they are in the middle of the run."""
        text = self.ours.language_model
        weights = sum(p.nbytes for module in (text.layers, text.norm, self.ours.lm_head) for p in module.parameters())
        length = self.layout.length - self.layout.new_tokens // 2
        return weights + KVCache.size_in_bytes(self.ours.config, batch, length, self.compute.dtype)


class PlannerPair(OurPlanner):
    """Our planner and upstream's on the same weights; both get the same prompt and write the same grids."""

    def __init__(self, models: Models, size: Size, compute: Compute):
        self.name = models.planner_name
        config = replace(models, coarse_tokens=size.coarse_tokens).planner()
        ours, self.upstream = make_pair(PLANNER, config, compute)
        layout = lay_out_prompt(prompt_tokenizer(models), ours.config, PROMPT, *size.plan_pixels)
        super().__init__(ours, layout, compute)

    def plan_upstream(self, batch: int, **options) -> Tensor:
        """New ids [B, n]. Upstream is told the target grid first."""
        device = self.compute.device
        ids = self.layout.prompt_ids.repeat(batch, 1).to(device)
        grids = torch.tensor([[1, *grid] for grid in self.layout.grids[::-1]], device=device)
        out = self.upstream.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), image_grid_thw=grids.repeat(batch, 1),
            images_per_sample=torch.full((batch,), len(grids), device=device), max_new_tokens=self.layout.new_tokens,
            **options)
        return out[:, ids.shape[1]:]

    def time_upstream(self, batch: int) -> tuple[float, float]:
        """Seconds to the first token, and from there to the last."""
        clock = Clock(self.compute.device)
        start = now(self.compute.device)
        self.plan_upstream(batch, streamer=clock)
        first = clock.times[1]  # the prompt comes before it
        return first - start, now(self.compute.device) - first

    @torch.inference_mode()
    def agreement(self) -> str:
        """How many tokens of the likeliest plan are the same on both sides."""
        ours = written_tokens(self.plan_ours(1, sampling=Sampling(top_k=1)))[0]
        same = (ours == self.plan_upstream(1, do_sample=False)[0]).sum()
        return f"{same} of {len(ours)} tokens of the greedy plan are the same on both sides"


def planner_measures(size: Size, compute: Compute, bandwidth: float, note: Note) -> Iterator[Measure]:
    """``bandwidth``: bytes a second that the machine can read and write."""
    for models in size.planners:
        pair = PlannerPair(models, size, compute)
        name = f"planner {pair.name}"
        prompt_tokens, new_tokens = pair.layout.prompt_ids.shape[1], pair.layout.new_tokens
        note(f"{name}: {prompt_tokens} prompt and {new_tokens} new tokens; {pair.agreement()}")
        alone = np.full(2, np.nan)  # seconds of one plan, once batch 1 has run
        for batch, repeats in size.batches.items():
            first, rest = time_pair(pair, batch, repeats)
            if batch == PLANS:
                yield from plans_measures(name, first + rest, alone)
                continue
            if batch == 1:
                alone = first + rest
            yield from batch_measures(name, pair, batch, first, rest, bandwidth)
            if compute.device.type == "cuda":
                yield from graph_measures(f"{name}, batch {batch}", pair, batch, repeats, bandwidth)
        del pair


def time_pair(pair: PlannerPair, batch: int, repeats: int) -> np.ndarray:
    """Median seconds to the first token and from there on, of ours and of upstream: [2, 2]."""
    ours, upstream = partial(pair.time_ours, batch), partial(pair.time_upstream, batch)
    ours()
    upstream()
    return compare_times(ours, upstream, repeats).T


def batch_measures(name: str, pair: PlannerPair, batch: int, first: np.ndarray, rest: np.ndarray,
                   bandwidth: float) -> Iterator[Measure]:
    """first, rest: seconds to the first token and from there on, [2] each."""
    target = TOKEN_TARGETS.get(pair.name) if batch == 1 else None
    name, new_tokens = f"{name}, batch {batch}", pair.layout.new_tokens
    step = rest / (new_tokens - 1)
    yield Measure(name, *(batch * new_tokens / (first + rest)), "tokens/s", target=target)
    yield Measure(f"{name}: to the first token", *first, "s", more_is_better=False)
    yield Measure(f"{name}: from there on", *(batch / step), "tokens/s")
    yield Measure(f"{name}: share of memory roofline", *(100 * pair.bytes_per_step(batch) / step / bandwidth), "%")


def graph_measures(name: str, pair: PlannerPair, batch: int, repeats: int, bandwidth: float) -> Iterator[Measure]:
    """Passes replayed as a CUDA graph against the same passes without one, which stand in upstream's column."""
    plain, recorded = partial(pair.time_ours, batch), partial(pair.time_ours, batch, nullcontext(record_cuda_graph))
    recorded()
    _, rest = compare_times(recorded, plain, repeats).T
    step = rest / (pair.layout.new_tokens - 1)
    share = 100 * pair.bytes_per_step(batch) / step / bandwidth
    yield Measure(f"{name}, from there on: CUDA graph beside none", *(batch / step), "tokens/s")
    yield Measure(f"{name}, from there on: share of memory roofline", *share, "%")


def plans_measures(name: str, together: np.ndarray, alone: np.ndarray) -> Iterator[Measure]:
    """together, alone: seconds of PLANS plans in one batch and of one plan, [2] each."""
    batch_rate, single_rate = PLANS / together, 1 / alone
    yield Measure(f"{name}, batch {PLANS}", *batch_rate, "plans/s", target=PLANS_TARGET)
    yield Measure(f"{name}, batch {PLANS} ÷ one by one", *(batch_rate / single_rate), "times")
    yield Measure(f"{name}, batch {PLANS}, upstream one by one", batch_rate[0], single_rate[1], "plans/s")
