"""Several tokens a pass on the embedded checkpoint, against the same planner with one; the plans are the same."""

from collections.abc import Iterator
from functools import partial

import torch

from glm_core.checkpoint import EMBEDDED
from glm_core.evaluation.suites import posters
from glm_core.pipeline import Compute, default_side, load_planner
from glm_core.planner import cuda_graphs, plan_prompt

from .report import Measure, Note
from .sizes import Size
from .timing import compare_times, seconds

PROMPT_SETS = "grid", "free", "chinese"
LOOKAHEADS = 4, 8, 16
TARGET = 1.5


class EmbeddedPlanner:
    """The embedded planner, and how many passes its last plans took."""

    def __init__(self, compute: Compute):
        self.compute, self.side = compute, default_side(EMBEDDED)
        self.loaded = load_planner(EMBEDDED, compute)
        self.passes = 0
        self.loaded.model.register_forward_hook(self.count)

    def count(self, *hook_arguments) -> None:
        self.passes += 1

    def plan(self, prompts: list[str], lookahead: int) -> list[torch.Tensor]:
        """Ids [1, h, w] of a plan of every prompt; prompt i has seed i."""
        self.passes = 0
        model, tokenizer = self.loaded.model, self.loaded.tokenizer
        return [plan_prompt(model, tokenizer, prompt, self.side, self.side, seed=i, lookahead=lookahead,
                            device=self.compute.device, dtype=self.compute.dtype,
                            recorder=cuda_graphs(self.compute.device)).ids
                for i, prompt in enumerate(prompts)]


def lookahead_measures(size: Size, compute: Compute, note: Note) -> Iterator[Measure]:
    planner = EmbeddedPlanner(compute)
    for name in PROMPT_SETS:
        tasks = posters.tasks(EMBEDDED / f"held_out_{name}.jsonl", size.lookahead_prompts)
        prompts = [task.prompt for task in tasks]
        expected, passes = planner.plan(prompts, 1), planner.passes
        for lookahead in LOOKAHEADS:
            title = f"embedded, {name}, {lookahead} tokens a pass"
            plans = planner.plan(prompts, lookahead)
            same = sum(torch.equal(ids, other) for ids, other in zip(plans, expected))
            note(f"{title}: {same} of {len(expected)} plans are the same")
            yield Measure(f"{title}: passes a plan", planner.passes / len(plans), passes / len(plans), "",
                          more_is_better=False)
            several, one = (partial(seconds, partial(planner.plan, prompts, tokens), compute.device)
                            for tokens in (lookahead, 1))
            yield Measure(title, *(len(plans) / compare_times(several, one, size.repeats)), "plans/s", target=TARGET)
