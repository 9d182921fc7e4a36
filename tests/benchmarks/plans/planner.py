"""The embedded planner on a CPU, which counts its passes."""

import torch

from glm_core.checkpoint import EMBEDDED
from glm_core.pipeline import Compute, load_planner
from glm_core.planner import Sampling, plan_prompt
from glm_core.plans import Plan
from glm_core.posters import SIDE

from .cases import SEEDS

CPU = Compute(torch.device("cpu"), torch.float32)


class EmbeddedPlanner:
    """passes: of the model so far."""

    def __init__(self):
        loaded = load_planner(EMBEDDED, CPU)
        self.model, self.tokenizer, self.passes = loaded.model, loaded.tokenizer, 0
        self.model.register_forward_hook(self.count)

    def count(self, *hook_arguments) -> None:
        self.passes += 1

    def plan(self, prompt: str, seed: int, sampling: Sampling = Sampling(), batch: int = SEEDS) -> Plan:
        """Plans of posters; item i has seed + i."""
        return plan_prompt(self.model, self.tokenizer, prompt, SIDE, SIDE, seed=seed, sampling=sampling, batch=batch)
