"""The embedded planner on a CPU, which counts its passes."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from glm_core.checkpoint import EMBEDDED
from glm_core.pipeline import Compute, load_planner
from glm_core.planner import Kept, PlanWriter, PromptLayout, Sampling, plan_prompt, write_tokens
from glm_core.plans import Plan
from glm_core.posters import SIDE

from .cases import SEEDS

LOOKAHEAD = 8
CPU = Compute(torch.device("cpu"), torch.float32)


class EmbeddedPlanner:
    """passes: of the model so far. lookahead: tokens tried in a pass, which changes no plan and saves time."""

    def __init__(self):
        loaded = load_planner(EMBEDDED, CPU)
        self.model, self.tokenizer, self.passes, self.lookahead = loaded.model, loaded.tokenizer, 0, LOOKAHEAD
        self.writer = PlanWriter(self.tokenizer, self.model.config, self.write, loaded.fingerprint)
        self.model.register_forward_hook(self.count)

    def count(self, *hook_arguments) -> None:
        self.passes += 1

    def write(self, layout: PromptLayout, seeds: Sequence[int], sampling: Sampling,
              kept: Kept | None) -> tuple[Tensor, Tensor]:
        return write_tokens(self.model, layout, seeds, sampling, kept, lookahead=self.lookahead)

    def plan(self, prompt: str, seed: int, sampling: Sampling = Sampling(), batch: int = SEEDS) -> Plan:
        """Plans of posters; item i has seed + i."""
        return plan_prompt(self.model, self.tokenizer, prompt, SIDE, SIDE, seed=seed, sampling=sampling, batch=batch,
                           lookahead=self.lookahead)

    def cost(self, call: Callable[[], object]) -> tuple[int, float]:
        """Passes without look-ahead, and seconds of CPU time, which other programs disturb less than the clock."""
        self.lookahead = 1
        passes, start = self.passes, time.process_time()
        call()
        self.lookahead = LOOKAHEAD
        return self.passes - passes, time.process_time() - start
