"""A pass that is recorded once and replayed, with an ATen trace instead of a CUDA graph.

Both keep only operations and the tensors they work on. A position or number that Python passed in would keep the value
that it had when the pass was recorded.
"""

import copy

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from glm_core.planner import Sampling, plan_prompt
from glm_core.planner.session import record_cuda_graph, record_cuda_graph_if_possible

PROMPT = "two cats on a red sofa"


def trace(step):
    return make_fx(step)()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=1)])
def test_a_replayed_pass_writes_the_same_tokens(planner, tokenizer, sampling):
    calls = []
    hook = planner.register_forward_hook(lambda *_: calls.append(1))
    recorded = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=2, seed=4, sampling=sampling, recorder=trace)
    hook.remove()
    plain = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=2, seed=4, sampling=sampling)
    assert torch.equal(recorded.ids, plain.ids) and torch.equal(recorded.coarse, plain.coarse)
    assert len(calls) == 2  # the prompt and the recording


def test_a_replayed_pass_writes_the_same_tokens_of_an_edit(planner, tokenizer, reference):
    options = {"references": [reference], "seed": 4}
    plain, recorded = (plan_prompt(planner, tokenizer, PROMPT, 96, 64, recorder=recorder, **options)
                       for recorder in (None, trace))
    assert torch.equal(plain.ids, recorded.ids)


def test_passes_of_several_tokens_run_beside_a_recorded_one(planner, tokenizer):
    plain, recorded = (plan_prompt(planner, tokenizer, PROMPT, 96, 64, seed=4, lookahead=lookahead, recorder=recorder)
                       for lookahead, recorder in ((1, None), (4, trace)))
    assert torch.equal(plain.ids, recorded.ids) and torch.equal(plain.coarse, recorded.coarse)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can record the pass")
def test_a_pass_that_cannot_be_recorded_runs_unrecorded(planner, tokenizer, caplog):
    plain, failed = (plan_prompt(planner, tokenizer, PROMPT, 96, 64, seed=4, recorder=recorder)
                     for recorder in (None, record_cuda_graph_if_possible))
    assert torch.equal(plain.ids, failed.ids) and torch.equal(plain.coarse, failed.coarse)
    assert "without a CUDA graph" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_writes_the_same_greedy_plan(planner, tokenizer):
    model = copy.deepcopy(planner).cuda()
    options = {"sampling": Sampling(top_k=1), "device": "cuda"}
    plain, recorded = (plan_prompt(model, tokenizer, PROMPT, 96, 64, recorder=recorder, **options)
                       for recorder in (None, record_cuda_graph))
    assert torch.equal(plain.ids, recorded.ids) and torch.equal(plain.coarse, recorded.coarse)
