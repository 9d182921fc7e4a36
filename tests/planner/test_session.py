"""A pass that is recorded once and replayed, with an ATen trace instead of a CUDA graph.

Both keep only operations and the tensors they work on. A position or number that Python passed in would keep the value
that it had when the pass was recorded.
"""

import copy
from contextlib import contextmanager, nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch.fx.experimental.proxy_tensor import make_fx

from glm_core.planner import Sampling, cuda_graphs, plan_prompt
from glm_core.planner.decode import DecodeSession
from glm_core.planner.session import attention_of_new_tokens, record_cuda_graph, record_cuda_graph_if_possible

PROMPT = "two cats on a red sofa"


def trace(step):
    return make_fx(step)()


TRACES = nullcontext(trace)  # a Recorder


def same_plans(plain, other):
    return torch.equal(plain.ids, other.ids) and (plain.coarse is None or torch.equal(plain.coarse, other.coarse))


@pytest.fixture
def passes(planner):
    """Widths of the passes that Python runs: those of the prompt, the recordings, and all that are not replayed."""
    widths = []
    hook = planner.register_forward_hook(lambda module, inputs, output: widths.append(output.shape[1]))
    yield widths
    hook.remove()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=1)])
def test_a_replayed_pass_writes_the_same_tokens(planner, tokenizer, sampling, passes):
    options = {"batch": 2, "seed": 4, "sampling": sampling}
    recorded = plan_prompt(planner, tokenizer, PROMPT, 96, 64, recorder=TRACES, **options)
    assert len(passes) == 2  # the prompt and the recording
    assert same_plans(plan_prompt(planner, tokenizer, PROMPT, 96, 64, **options), recorded)


def test_a_replayed_pass_writes_the_same_tokens_of_an_edit(planner, tokenizer, reference):
    options = {"references": [reference], "seed": 4}
    plain, recorded = (plan_prompt(planner, tokenizer, PROMPT, 96, 64, recorder=recorder, **options)
                       for recorder in (nullcontext(), TRACES))
    assert same_plans(plain, recorded)


@pytest.mark.parametrize("lookahead", [2, 4])
@pytest.mark.parametrize("batch", [1, 3])
def test_replayed_passes_of_several_tokens_write_the_same_tokens(planner, tokenizer, passes, lookahead, batch):
    plain = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=batch, seed=4)
    passes.clear()
    recorded = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=batch, seed=4, lookahead=lookahead,
                           recorder=TRACES)
    assert same_plans(plain, recorded)
    assert passes[1] == lookahead and max(passes[2:], default=0) < lookahead  # only the narrow last ones run as usual


@pytest.mark.parametrize("lookahead", [1, 6])
def test_a_plan_of_one_pass_is_not_recorded(planner, tokenizer, lookahead):
    side = {1: 32, 6: 96}[lookahead]
    plain, recorded = (plan_prompt(planner, tokenizer, PROMPT, side, 32, coarse=False, lookahead=lookahead, seed=4,
                                   recorder=recorder) for recorder in (nullcontext(), nullcontext(pytest.fail)))
    assert same_plans(plain, recorded)


def test_the_recorder_is_entered_after_the_prompt_and_left_after_every_run(planner, tokenizer):
    events, prefill = [], DecodeSession.prefill

    @contextmanager
    def recorder():
        events.append("entered")
        try:
            yield trace
        finally:
            events.append("left")

    def stop(i, tokens):
        events.append(i)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DecodeSession, "prefill", lambda *args: (events.append("prompt"), prefill(*args))[1])
        with pytest.raises(KeyboardInterrupt):
            plan_prompt(planner, tokenizer, PROMPT, 96, 64, recorder=recorder(), on_token=stop)
    assert events == ["prompt", "entered", 0, "left"]


def repeated_attention(q, k, v, lengths):
    """What a kernel for one token computes, without its mask: every item cut to its length."""
    assert lengths.dtype == torch.int32 and lengths.shape == q.shape[:1] and q.shape[2] == 1
    places = torch.arange(k.shape[2]) < lengths[:, None, None, None]
    k, v = (x.repeat_interleave(q.shape[1] // k.shape[1], dim=1) for x in (k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=places).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("lookahead, recorder, used",
                         [(1, TRACES, True), (4, TRACES, False), (1, nullcontext(), False)])
def test_a_hosts_attention_serves_recorded_passes_of_one_token(planner, tokenizer, monkeypatch, lookahead, recorder,
                                                               used):
    calls = []
    plain = plan_prompt(planner, tokenizer, PROMPT, 96, 64, seed=4, batch=2)
    monkeypatch.setattr(planner, "token_attention", lambda *args: (calls.append(1), repeated_attention(*args))[1])
    other = plan_prompt(planner, tokenizer, PROMPT, 96, 64, seed=4, batch=2, lookahead=lookahead, recorder=recorder)
    assert same_plans(plain, other)
    assert len(calls) == used * planner.config.num_hidden_layers


def test_only_gpus_leave_cudnn_out():
    """sdpa_kernel changes settings of the whole process."""
    assert isinstance(attention_of_new_tokens("cpu"), nullcontext)
    with attention_of_new_tokens("cuda"):
        assert not torch.backends.cuda.cudnn_sdp_enabled() and torch.backends.cuda.flash_sdp_enabled()
    assert torch.backends.cuda.cudnn_sdp_enabled()


def test_passes_are_recorded_on_nvidia_alone(monkeypatch):
    for device in ("cpu", "mps", "meta"):
        with cuda_graphs(device) as record:
            assert record is None
    with cuda_graphs("cuda:1") as record:
        assert record is record_cuda_graph_if_possible
    monkeypatch.setattr(torch.version, "hip", "6.4")
    with cuda_graphs("cuda") as record:
        assert record is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU can record the pass")
@pytest.mark.parametrize("lookahead", [1, 4])
def test_a_pass_that_cannot_be_recorded_runs_as_usual(planner, tokenizer, caplog, monkeypatch, lookahead):
    options = {"seed": 4, "lookahead": lookahead}
    plain = plan_prompt(planner, tokenizer, PROMPT, 96, 64, **options)
    monkeypatch.setattr(planner, "token_attention", lambda *args: pytest.fail("a static pass was run"))
    failed = plan_prompt(planner, tokenizer, PROMPT, 96, 64, recorder=nullcontext(record_cuda_graph_if_possible),
                         **options)
    assert same_plans(plain, failed)
    assert "without a CUDA graph" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("lookahead", [1, 4])
def test_a_cuda_graph_writes_the_same_greedy_plan(planner, tokenizer, lookahead):
    model = copy.deepcopy(planner).cuda()
    options = {"sampling": Sampling(top_k=1), "device": "cuda"}
    plain = plan_prompt(model, tokenizer, PROMPT, 96, 64, **options)
    recorded = plan_prompt(model, tokenizer, PROMPT, 96, 64, recorder=nullcontext(record_cuda_graph),
                           lookahead=lookahead, **options)
    assert same_plans(plain, recorded)
