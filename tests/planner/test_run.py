"""A pass that is recorded once and replayed, with an ATen trace in the place of a CUDA graph.

Both keep operations and the tensors they work on, and forget all else: a position or a number that Python put in would stay what it
was when the pass was recorded.
"""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from glm_core.plan import Plan
from glm_core.planner import Sampling, make_plan

PROMPT = "two cats on a red sofa"


def trace(step):
    recorded = make_fx(step)()
    logits = torch.empty_like(step())
    return lambda: logits.copy_(recorded()), logits


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=1)])
def test_a_replayed_pass_writes_the_same_tokens(planner, tokenizer, sampling):
    calls = []
    hook = planner.register_forward_hook(lambda *_: calls.append(1))
    captured = make_plan(planner, tokenizer, PROMPT, 96, 64, batch=2, seed=4, sampling=sampling, capture=trace)
    hook.remove()
    plain = make_plan(planner, tokenizer, PROMPT, 96, 64, batch=2, seed=4, sampling=sampling)
    assert torch.equal(captured.ids, plain.ids) and torch.equal(captured.preview, plain.preview)
    assert len(calls) == 3  # the prompt, the recording, and the shape of its result


def test_an_edit_too(planner, tokenizer):
    reference = Plan(torch.randint(0, 16384, (1, 3, 2), generator=torch.Generator().manual_seed(0)))
    plain, captured = (make_plan(planner, tokenizer, PROMPT, 96, 64, references=[reference], seed=4, capture=capture)
                       for capture in (None, trace))
    assert torch.equal(plain.ids, captured.ids)
