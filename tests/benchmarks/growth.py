"""How times grow with the area of the picture."""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from glm_core.checkpoint import PLANNER
from glm_core.pipeline import Compute
from glm_core.planner import PromptLayout, Sampling, lay_out_prompt
from glm_core.planner.decode import TokenSampler, TokenWriter
from glm_core.planner.noise import item_keys
from glm_core.planner.session import DecodeSession
from tests.support.tiny import prompt_tokenizer

from .decoder import DiTPair, VAEPair
from .models import make_ours
from .planner import PROMPT, Clock
from .report import heading, line
from .sizes import Size
from .timing import median_seconds

WIDTHS = 8, 12, 14, 18
TOKENS = 8  # timed at each length of the cache
SIDES = "ours", "diffusers"


class PlannerTimes:
    """Times of our planner; one token is timed at a few lengths of the cache, and those between lie on a line."""

    def __init__(self, size: Size, compute: Compute):
        self.compute, self.lengths = compute, size.cache_lengths
        self.planner = make_ours(PLANNER, size.models.planner(), compute)
        self.tokenizer = prompt_tokenizer(size.models)
        self.token_seconds = [self.token(length) for length in self.lengths]

    def start(self, layout: PromptLayout) -> DecodeSession:
        return DecodeSession.start(self.planner, layout, 1, self.compute.device, self.compute.dtype)

    @torch.inference_mode()
    def token(self, length: int) -> float:
        """Median seconds of a token, its drawing included, when the cache holds ``length`` already."""
        device, config = self.compute.device, self.planner.config
        grid = 1, TOKENS + 2  # no pass for the first token, a warm-up for the second
        session = self.start(PromptLayout("", torch.zeros(1, length, dtype=torch.int64), [length], [grid]))
        for tensor in (session.cache.keys, session.cache.values):
            tensor.normal_()
        logits = torch.randn(1, config.vision_vocab_size, device=device, dtype=self.compute.dtype)
        tokens = torch.zeros(grid, dtype=torch.int64, device=device)
        sampler = TokenSampler(Sampling(), item_keys([0], device), config.codebook_size)
        clock = Clock(device)
        writer = TokenWriter(session, sampler, None, length, [grid], lookahead=1)
        writer.write(logits, tokens, torch.zeros(grid, device=device), lambda i, tokens: clock.put(tokens))
        return float(np.median(np.diff(clock.times)[1:]))

    @torch.inference_mode()
    def plan(self, side: int) -> float:
        """Seconds of a plan of side x side pixels: its prompt, and its tokens over all lengths of the cache."""
        layout = lay_out_prompt(self.tokenizer, self.planner.config, PROMPT, side, side)
        session = self.start(layout)
        prompt = median_seconds(lambda: session.prefill(layout.prompt_ids), self.compute.device, repeats=1)
        lengths = np.arange(layout.prompt_ids.shape[1], layout.length - 1)
        return prompt + np.interp(lengths, self.lengths, self.token_seconds).sum()


def exponents(sides: Sequence[int], times: Sequence[float]) -> list[float]:
    """Exponent of the time in the area from each side to the following one."""
    found = []
    for side, next_side, before, after in zip(sides, sides[1:], times, times[1:]):
        found.append(math.log(after / before) / math.log((next_side / side) ** 2))
    return found


def growth_table(title: str, sides: tuple[int, ...], time_of: Callable[[int], float]) -> dict:
    """Print a table of ``time_of`` over the sides, and give it as it goes to JSON."""
    titles = "picture", "seconds", "÷ smallest", "exponent in area"
    print(f"\n{title}", heading(titles, WIDTHS), sep="\n", flush=True)
    times: list[float] = []
    for side in sides:
        times.append(float(time_of(side)))
        exponent = f"{exponents(sides, times)[-1]:.2f}" if len(times) > 1 else ""
        print(line((f"{side}²", f"{times[-1]:.4g}", f"{times[-1] / times[0]:.1f}", exponent), WIDTHS), flush=True)
    overall = float(np.polyfit(np.log(np.square(sides, dtype=float)), np.log(times), 1)[0])
    print(f"over all sizes: area to the power of {overall:.2f}", flush=True)
    return {"what": title, "sides": sides, "seconds": times, "exponents": exponents(sides, times), "exponent": overall}


def planner_growth(size: Size, compute: Compute) -> Iterator[dict]:
    times = PlannerTimes(size, compute)
    lengths = ", ".join(map(str, times.lengths))
    title = (f"planner {size.models.planner_name}, batch 1, ours; times of tokens are summed, not run: measured with "
             f"{lengths} positions in the cache, on a line between")
    yield growth_table(title, size.plan_growth, times.plan)


def dit_growth(size: Size, compute: Compute) -> Iterator[dict]:
    pair = DiTPair(size.models, size.growth_layers, compute)
    for i, name in enumerate(SIDES):
        yield growth_table(f"DiT, one step, {size.growth_layers} of {size.models.dit_layers} layers, {name}",
                           size.dit_growth, lambda side, i=i: median_seconds(pair.steps(side)[i], compute.device, 1))


def vae_growth(size: Size, compute: Compute) -> Iterator[dict]:
    pair = VAEPair(size.models, compute)
    for i, name in enumerate(SIDES):
        yield growth_table(f"VAE decode, {name}", size.vae_growth,
                           lambda side, i=i: median_seconds(pair.decoders(side)[i], compute.device, 1))


def growth_tables(size: Size, compute: Compute) -> Iterator[dict]:
    yield from planner_growth(size, compute)
    yield from dit_growth(size, compute)
    yield from vae_growth(size, compute)
