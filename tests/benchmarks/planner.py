"""The planner against transformers' generate(): tokens and plans a second, and their share of the memory roofline.

The roof is the time that the bytes of a decode step take at the copy bandwidth measured in the same run; what stays in a
cache, as the weights of a very small planner do, can be read faster than that.
"""

from collections.abc import Iterator
from functools import partial

import torch
from transformers.generation.streamers import BaseStreamer

from glm_core.checkpoint import PLANNER
from glm_core.pipeline import Place
from glm_core.planner import Sampling, plan_prompt, prepare
from glm_core.planner.model import KVCache
from glm_core.planner.session import Capture, Job, record_cuda_graph

from .models import make_pair, prompt_tokenizer
from .report import Measure
from .sizes import PLANS, Models, Size
from .timing import now, race

PROMPT = "a shop front on a rainy street at night, a cat in the window, a neon sign that says 'OPEN' over the door"
TOKEN_TARGETS = {"12x1024": 1.3, "4x256": 1.8}  # at batch 1, by layers x width
PLANS_TARGET = 2.5


class Clock(BaseStreamer):
    """When generate() handed over the prompt, and then each token."""

    def __init__(self, device: torch.device):
        self.device, self.times = device, []

    def put(self, value) -> None:
        self.times.append(now(self.device))

    def end(self) -> None:
        pass


class PlannerPair:
    """Ours and the reference's planner on the same weights; both get the same prompt and write the same grids."""

    def __init__(self, models: Models, size: Size, place: Place):
        self.place, (self.width, self.height) = place, size.plan_pixels
        config = models.planner() | {"preview_tokens": size.preview_tokens}
        self.ours, self.reference = make_pair(PLANNER, config, place)
        self.tokenizer = prompt_tokenizer()
        self.job: Job = prepare(self.tokenizer, self.ours.config, PROMPT, self.width, self.height)

    def plan_ours(self, batch: int, **options):
        return plan_prompt(self.ours, self.tokenizer, PROMPT, self.width, self.height, batch=batch, device=self.place.device,
                         dtype=self.place.dtype, **options)

    def plan_reference(self, batch: int, **options) -> torch.Tensor:
        """New ids [B, n]. The reference is told the target grid first."""
        ids = self.job.prompt_ids.repeat(batch, 1).to(self.place.device)
        grids = torch.tensor([[1, *grid] for grid in self.job.grids[::-1]], device=self.place.device)
        out = self.reference.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), image_grid_thw=grids.repeat(batch, 1),
            images_per_sample=torch.full((batch,), len(grids), device=self.place.device), max_new_tokens=self.job.new_tokens, **options)
        return out[:, ids.shape[1]:]

    def time_ours(self, batch: int, capture: Capture | None = None) -> tuple[float, float]:
        """Seconds to the first token, and from there to the last."""
        clock = Clock(self.place.device)

        def on_token(i, tokens):
            if i == 0:
                clock.put(tokens)

        start = now(self.place.device)
        self.plan_ours(batch, on_token=on_token, capture=capture)
        first = clock.times[0]
        return first - start, now(self.place.device) - first

    def time_reference(self, batch: int) -> tuple[float, float]:
        clock = Clock(self.place.device)
        start = now(self.place.device)
        self.plan_reference(batch, streamer=clock)
        first = clock.times[1]  # the prompt comes before it
        return first - start, now(self.place.device) - first

    def bytes_per_step(self, batch: int) -> float:
        """What a decode step has to read: the weights once, and keys and values as they are in the middle of the run."""
        text = self.ours.language_model
        weights = sum(p.nbytes for module in (text.layers, text.norm, self.ours.lm_head) for p in module.parameters())
        length = self.job.length - self.job.new_tokens // 2
        return weights + KVCache.size_in_bytes(self.ours.config, batch, length, self.place.dtype)

    @torch.inference_mode()
    def agreement(self) -> str:
        """How many tokens of the likeliest plan are the same on both sides."""
        plan = self.plan_ours(1, sampling=Sampling(top_k=1))
        ours = torch.cat([grid.flatten() for grid in (plan.preview, plan.ids)])
        same = (ours == self.plan_reference(1, do_sample=False)[0]).sum()
        return f"{same} of {len(ours)} tokens of the greedy plan are the same on both sides"


def planner_measures(size: Size, place: Place, bandwidth: float, note) -> Iterator[Measure]:
    for models in size.planners:
        pair, name = PlannerPair(models, size, place), f"planner {models.planner_name}"
        note(f"{name}: {pair.job.prompt_ids.shape[1]} prompt and {pair.job.new_tokens} new tokens; {pair.agreement()}")
        one = None
        for batch, repeats in size.batches.items():
            ours, reference = partial(pair.time_ours, batch), partial(pair.time_reference, batch)
            ours(), reference()
            first, rest = race(ours, reference, repeats).T
            whole = first + rest
            if batch == PLANS:
                yield from plans_measures(name, whole, one)
            else:
                one = whole if batch == 1 else one
                target = TOKEN_TARGETS.get(models.planner_name) if batch == 1 else None
                yield from batch_measures(name, pair, batch, first, rest, bandwidth, target)
                if place.device.type == "cuda":
                    captured = partial(pair.time_ours, batch, record_cuda_graph)
                    captured()
                    yield from captured_measures(f"{name}, batch {batch}", pair, batch, race(captured, ours, repeats).T[1], bandwidth)
        del pair, ours, reference


def batch_measures(name: str, pair: PlannerPair, batch: int, first, rest, bandwidth: float, target: float | None) -> Iterator[Measure]:
    """first, rest: seconds to the first token and from there on, [2] each."""
    name, new = f"{name}, batch {batch}", pair.job.new_tokens
    step = rest / (new - 1)
    yield Measure(name, *(batch * new / (first + rest)), "tokens/s", target=target)
    yield Measure(f"{name}: to the first token", *first, "s", more_is_better=False)
    yield Measure(f"{name}: from there on", *(batch / step), "tokens/s")
    yield Measure(f"{name}: share of memory roofline", *(100 * pair.bytes_per_step(batch) / step / bandwidth), "%")


def captured_measures(name: str, pair: PlannerPair, batch: int, rest, bandwidth: float) -> Iterator[Measure]:
    """rest: seconds after the first token, [2]: passes replayed as a CUDA graph, and without, here in the reference's place."""
    step = rest / (pair.job.new_tokens - 1)
    yield Measure(f"{name}, from there on: CUDA graph beside none", *(batch / step), "tokens/s")
    yield Measure(f"{name}, from there on: share of memory roofline", *(100 * pair.bytes_per_step(batch) / step / bandwidth), "%")


def plans_measures(name: str, whole, one) -> Iterator[Measure]:
    """whole, one: seconds of PLANS plans together and of one plan alone, [2] each."""
    together, alone = PLANS / whole, 1 / one
    yield Measure(f"{name}, batch {PLANS}", *together, "plans/s", target=PLANS_TARGET)
    yield Measure(f"{name}, batch {PLANS} ÷ one by one", *(together / alone), "times")
    yield Measure(f"{name}, batch {PLANS}, reference one by one", together[0], alone[1], "plans/s")
