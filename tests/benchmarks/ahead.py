"""Looking ahead on the embedded checkpoint, against the same planner that takes one token a pass; both write the same plans."""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from glm_core.checkpoint import EMBEDDED
from glm_core.evaluation.suites.posters import tasks as read_tasks
from glm_core.pipeline import Place, default_side, load_planner
from glm_core.planner import plan_prompt

from .report import Measure
from .sizes import Size
from .timing import race, seconds

SETS = "grid", "free", "chinese"
AHEAD = 4, 8, 16
TARGET = 1.5


class PlannerAhead:
    """The embedded planner, and how many passes its last plans took."""

    def __init__(self, place: Place):
        self.place, self.side = place, default_side(EMBEDDED)
        self.planner, self.tokenizer = load_planner(EMBEDDED, place)
        self.passes = 0
        self.planner.register_forward_hook(self.count)

    def count(self, *given) -> None:
        self.passes += 1

    def plan(self, prompts: list[str], ahead: int) -> list[torch.Tensor]:
        self.passes = 0
        return [plan_prompt(self.planner, self.tokenizer, prompt, self.side, self.side, seed=i, ahead=ahead, device=self.place.device,
                          dtype=self.place.dtype).ids for i, prompt in enumerate(prompts)]


def ahead_measures(size: Size, place: Place, note: Callable[[str], None]) -> Iterator[Measure]:
    work = PlannerAhead(place)
    for name in SETS:
        prompts = [task.prompt for task in read_tasks(EMBEDDED / f"held_out_{name}.jsonl", size.ahead_prompts)]
        plain, passes = work.plan(prompts, 1), work.passes
        for ahead in AHEAD:
            title = f"embedded, {name}, {ahead} tokens a pass"
            same = sum(torch.equal(ours, reference) for ours, reference in zip(work.plan(prompts, ahead), plain))
            note(f"{title}: {same} of {len(plain)} plans are the same")
            yield Measure(f"{title}: passes a plan", work.passes / len(plain), passes / len(plain), "", more_is_better=False)
            ours, reference = (partial(seconds, partial(work.plan, prompts, tokens), place.device) for tokens in (ahead, 1))
            yield Measure(title, *(len(plain) / race(ours, reference, size.repeats)), "plans/s", target=TARGET)
