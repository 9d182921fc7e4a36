"""Tokens a second of our planner alone, at about 1.5k tokens, beside the copy bandwidth of the same run."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from glm_core.checkpoint import PLANNER
from glm_core.pipeline import Compute
from glm_core.planner import PlannerModel, PromptLayout, lay_out_prompt
from glm_core.planner.session import session_bytes
from tests.benchmarks.models import make_ours, release
from tests.benchmarks.planner import PROMPT, OurPlanner
from tests.benchmarks.sizes import SIZES, Models
from tests.benchmarks.timing import copy_bandwidth
from tests.support.tiny import prompt_tokenizer

from .record import Record
from .recording import recorder_of

BATCHES = 1, 4, 8


@dataclass(frozen=True)
class Length:
    """How long a timed plan is: pixels of its side, and tokens of the prompt, so that the middle is at ``middle``."""

    side: int
    prompt: int


LENGTHS = {"full": Length(512, 1244), "tiny": Length(64, 100)}  # 512²: 256 + 256 new tokens, the middle is at 1500


def long_prompt(tokens: int) -> str:
    """About as many tokens: the tokenizer of random models has few merges, hence about a token a letter."""
    return (PROMPT + " ") * (tokens // len(PROMPT) + 1)


def layout_for(model: PlannerModel, models: Models, length: Length) -> PromptLayout:
    """A layout whose prompt has exactly ``length.prompt`` tokens; what they say does not matter for time."""
    layout = lay_out_prompt(prompt_tokenizer(models), model.config, long_prompt(length.prompt), length.side,
                            length.side)
    surplus = layout.prompt_ids.shape[1] - length.prompt
    assert surplus >= 0 and len(layout.segments) == 1
    return replace(layout, prompt_ids=layout.prompt_ids[:, surplus:], segments=[length.prompt])


def tokens(record: Record, device: torch.device, size: str) -> None:
    """Batches of ``BATCHES`` with a recorded pass, one plan with a plain one, in the type of the benchmarks."""
    sizes = SIZES[size]
    compute = Compute(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    bandwidth = copy_bandwidth(sizes, compute)
    record.figure("copy bandwidth", bandwidth / 1e9, "GB/s")
    config = replace(sizes.models, coarse_tokens=sizes.coarse_tokens).planner()
    model = make_ours(PLANNER, config, compute)
    planner = OurPlanner(model, layout_for(model, sizes.models, LENGTHS[size]), compute)
    release()
    for batch in BATCHES:
        time_plans(record, planner, batch, bandwidth, recorded=True)
    time_plans(record, planner, 1, bandwidth, recorded=False)


def time_plans(record: Record, planner: OurPlanner, batch: int, bandwidth: float, recorded: bool) -> None:
    options = recorder_of(planner.compute.device) if recorded else {}
    what = f"{'recorded' if recorded else 'plain'}, batch {batch}"
    with memory_beside_weights(record, planner, what, batch):
        planner.time_ours(batch, **options)  # warms up
    first, rest = planner.time_ours(batch, **options)
    step = rest / (planner.layout.new_tokens - 1)
    record_step(record, what, batch, step, planner.bytes_per_step(batch) / bandwidth)
    record.figure(f"{what}: to the first token", first, "s")


@contextmanager
def memory_beside_weights(record: Record, planner: OurPlanner, what: str, batch: int) -> Iterator[None]:
    """On a GPU, the most that is allocated inside, beside the estimate that ComfyUI is given."""
    if planner.compute.device.type != "cuda":
        yield
        return
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    yield
    record.figure(f"{what}: memory beside the weights", (torch.cuda.max_memory_allocated() - before) / 1e9, "GB")
    estimate = session_bytes(planner.ours.config, planner.layout, batch, 1, planner.compute.dtype)
    record.figure(f"{what}: estimate of that", estimate / 1e9, "GB")


def record_step(record: Record, what: str, batch: int, step: float, roof: float) -> None:
    """step: seconds of a token of every item. roof: seconds that reading and writing its bytes takes at least."""
    record.figure(f"{what}: tokens a second", batch / step, "tokens/s")
    record.figure(f"{what}: time of a token", 1000 * step, "ms")
    record.figure(f"{what}: share of memory roofline", 100 * roof / step, "%")
