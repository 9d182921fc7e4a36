"""How times grow with the area of the picture."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch

from glm_core.checkpoint import PLANNER
from glm_core.pipeline import Place
from glm_core.planner import Sampling, prepare
from glm_core.planner.decode import decode_n_tokens
from glm_core.planner.sampling import seeded_generators
from glm_core.planner.session import Job, Run

from .decoder import DiTPair, VAEPair
from .models import make_ours, prompt_tokenizer
from .planner import PROMPT, Clock
from .report import heading, line
from .sizes import Size
from .timing import seconds

WIDTHS = 8, 12, 14, 18
TOKENS = 8  # timed at each length of the cache
SIDES = "ours", "diffusers"


class PlannerClock:
    """Times of our planner; one token is timed at a few lengths of the cache, and those between lie on a line."""

    def __init__(self, size: Size, place: Place):
        self.place, self.lengths = place, size.cache_lengths
        self.planner, self.tokenizer = make_ours(PLANNER, size.models.planner(), place), prompt_tokenizer()
        self.token_seconds = [self.token(length) for length in self.lengths]

    @torch.inference_mode()
    def token(self, length: int) -> float:
        """Median seconds of a token, its drawing included, when the cache holds ``length`` already."""
        device, config = self.place.device, self.planner.config
        drawn = 1, TOKENS + 2  # no pass for the first, a warm-up for the second
        run = Run.of(self.planner, Job("", torch.zeros(1, length, dtype=torch.int64), [length], [drawn]), 1, device, self.place.dtype)
        for tensor in (run.cache.keys, run.cache.values):
            tensor.normal_()
        logits = torch.randn(1, config.vision_vocab_size, device=device, dtype=self.place.dtype)
        clock = Clock(device)
        decode_n_tokens(run, logits, torch.zeros(drawn, dtype=torch.int64, device=device), length, Sampling(),
                        seeded_generators(0, 1, device), lambda i, tokens: clock.put(tokens))
        return np.median(np.diff(clock.times)[1:])

    @torch.inference_mode()
    def plan(self, side: int) -> float:
        """Seconds for a plan of side x side pixels: its prompt, and its tokens summed over the lengths that the cache goes through."""
        job = prepare(self.tokenizer, self.planner.config, PROMPT, side, side)
        run = Run.of(self.planner, job, 1, self.place.device, self.place.dtype)
        prompt = alone(lambda: run.prefill(job.prompt_ids), self.place)
        lengths = np.arange(job.prompt_ids.shape[1], job.length - 1)
        return prompt + np.interp(lengths, self.lengths, self.token_seconds).sum()


@torch.inference_mode()
def alone(call: Callable, place: Place) -> float:
    """Seconds of the second run; the first warms up."""
    call()
    return seconds(call, place.device)


def slopes(sides: tuple[int, ...], times: list[float]) -> list[float]:
    """Exponent of the time in the area from each side to the following one."""
    return [math.log(after / before) / math.log((b / a) ** 2) for a, b, before, after in zip(sides, sides[1:], times, times[1:])]


def grow(title: str, sides: tuple[int, ...], time_of: Callable[[int], float]) -> dict:
    """Print a table of ``time_of`` over the sides, and give it as it goes to JSON."""
    print(f"\n{title}", heading(("picture", "seconds", "÷ smallest", "exponent in area"), WIDTHS), sep="\n", flush=True)
    times = []
    for side in sides:
        times.append(float(time_of(side)))
        exponent = f"{slopes(sides, times)[-1]:.2f}" if len(times) > 1 else ""
        print(line((f"{side}²", f"{times[-1]:.4g}", f"{times[-1] / times[0]:.1f}", exponent), WIDTHS), flush=True)
    overall = float(np.polyfit(np.log(np.square(sides, dtype=float)), np.log(times), 1)[0])
    print(f"over all sizes: area to the power of {overall:.2f}", flush=True)
    return {"what": title, "sides": sides, "seconds": times, "exponents": slopes(sides, times), "exponent": overall}


def planner_growth(size: Size, place: Place) -> Iterator[dict]:
    clock = PlannerClock(size, place)
    yield grow(f"planner {size.models.planner_name}, batch 1, ours; the times of its tokens are summed, not run: measured with "
               f"{', '.join(map(str, clock.lengths))} positions in the cache, on a line between", size.plan_growth, clock.plan)


def dit_growth(size: Size, place: Place) -> Iterator[dict]:
    pair = DiTPair(size.models, size.growth_layers, place)
    for i, name in enumerate(SIDES):
        yield grow(f"DiT, one step, {size.growth_layers} of {size.models.dit_layers} layers, {name}", size.dit_growth,
                   lambda side, i=i: alone(pair.steps(side)[i], place))


def vae_growth(size: Size, place: Place) -> Iterator[dict]:
    pair = VAEPair(size.models, place)
    for i, name in enumerate(SIDES):
        yield grow(f"VAE decode, {name}", size.vae_growth, lambda side, i=i: alone(pair.decoders(side)[i], place))


def growth_tables(size: Size, place: Place) -> Iterator[dict]:
    yield from planner_growth(size, place)
    yield from dit_growth(size, place)
    yield from vae_growth(size, place)
