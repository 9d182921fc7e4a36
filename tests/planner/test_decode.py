from dataclasses import asdict

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from glm_core.errors import GLMImageError
from glm_core.planner import Sampling, lay_out_prompt, plan_prompt
from glm_core.planner.decode import TokenSampler, draft_sources
from glm_core.planner.noise import item_keys
from glm_core.planner.score import written_tokens
from glm_core.planner.session import DecodeSession
from glm_core.plans import Drawn, Plan
from tests.planner.test_model import fuse

PROMPT = "two cats on a red sofa"
COARSE = [13, 35, 38, 19, 10, 27, 26, 38, 43, 28, 37, 14]  # of the small random planner, for seed 5
IDS = [15, 32, 58, 21, 40, 55]


def test_grids_are_full_and_hold_only_codes(planner, tokenizer):
    plan = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=2)
    assert plan.ids.shape == (2, 2, 3) and plan.coarse.shape == (2, 3, 4)
    for grid in (plan.ids, plan.coarse):
        assert grid.min() >= 0 and grid.max() < planner.config.codebook_size
    assert (plan.width, plan.height, plan.batch) == (96, 64, 2)


def test_every_item_says_how_it_was_drawn(planner, tokenizer):
    sampling = Sampling(1.0, 0.9, 50)
    plan = plan_prompt(planner, tokenizer, PROMPT, 96, 64, batch=2, seed=2**64 - 1, sampling=sampling,
                       fingerprint="abc")
    settings = asdict(sampling)
    assert plan.origins == tuple(Drawn(PROMPT, item_seed, (96, 64), settings, "abc") for item_seed in (2**64 - 1, 0))


def test_a_seed_keeps_its_plan(planner, tokenizer):
    """With the default sampling settings, a seed means the same numbers and the same plan for ever."""
    plan = plan_prompt(planner, tokenizer, PROMPT, 96, 64, seed=5)
    assert Sampling() == Sampling(temperature=0.9, top_p=0.75, top_k=16384)
    assert plan.coarse[0].flatten().tolist() == COARSE
    assert plan.ids[0].flatten().tolist() == IDS


def test_a_plan_can_be_trained_on(planner, tokenizer):
    """Inference tensors cannot be saved for backward."""
    plan = plan_prompt(planner, tokenizer, PROMPT, 64, 64)
    assert not plan.ids.is_inference() and not plan.coarse.is_inference()
    logits = torch.zeros(4, planner.config.codebook_size, requires_grad=True)
    torch.nn.functional.cross_entropy(logits, plan.ids.flatten()).backward()


def test_item_i_of_a_batch_is_the_plan_of_seed_plus_i(planner, tokenizer):
    together = plan_prompt(planner, tokenizer, PROMPT, 64, 64, batch=4, seed=21)
    for i in range(4):
        alone = plan_prompt(planner, tokenizer, PROMPT, 64, 64, seed=21 + i)
        assert torch.equal(alone.ids[0], together.ids[i]) and torch.equal(alone.coarse[0], together.coarse[i])
    assert len({tuple(item.flatten().tolist()) for item in together.ids}) == 4


@torch.inference_mode()
def test_a_plan_is_continued_from_any_token(planner, tokenizer):
    """The numbers that decide a token do not depend on how many were drawn before it."""
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 64, 64)
    whole = written_tokens(plan_prompt(planner, tokenizer, PROMPT, 64, 64, seed=9))
    sampler = TokenSampler(Sampling(), item_keys([9], "cpu"), planner.config.codebook_size)
    first = layout.prompt_ids.shape[1]
    for start in (1, 3, whole.shape[1] - 1):
        session = DecodeSession.start(planner, layout, 1, "cpu", torch.float32)
        session.prefill(layout.prompt_ids)
        tokens = whole[:, :start]
        for i in range(start, whole.shape[1]):
            written = tokens if i == start else tokens[:, -1:]
            logits = session.decode(written, first + i - written.shape[1])[:, -1:]
            tokens = torch.cat([tokens, sampler.sample(logits, sampler.draw_noise(torch.tensor([i])))], dim=1)
        assert torch.equal(tokens, whole)


def test_two_interleaved_sessions_on_one_model_do_not_disturb_each_other(planner, tokenizer):
    """Upstream keeps its decode positions on the model, so interleaved plans are mixed up there."""
    expected = [plan_prompt(planner, tokenizer, prompt, 64, 64, seed=1) for prompt in (PROMPT, "x")]

    between = []

    def interleave(i, tokens):
        if i == 10:
            between.append(plan_prompt(planner, tokenizer, "x", 64, 64, seed=1))

    assert torch.equal(plan_prompt(planner, tokenizer, PROMPT, 64, 64, seed=1, on_token=interleave).ids,
                       expected[0].ids)
    assert torch.equal(between[0].ids, expected[1].ids)


def test_no_forward_pass_is_wasted(planner, tokenizer):
    """One pass for the prompt and one for every token but the last."""
    calls = []
    hook = planner.register_forward_hook(lambda *_: calls.append(1))
    plan = plan_prompt(planner, tokenizer, PROMPT, 64, 32)
    hook.remove()
    assert len(calls) == plan.ids[0].numel() + plan.coarse[0].numel()


class OperationCounter(TorchDispatchMode):
    """Counts operations that compute something; views do not."""

    views = {"split_with_sizes", "transpose", "slice", "unflatten", "reshape", "flatten", "chunk"}

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += operation.overloadpacket.__name__ not in self.views
        return operation(*args, **(kwargs or {}))


@pytest.mark.parametrize("fused", [True, False])
@torch.inference_mode()
def test_a_token_needs_no_more_operations_per_layer_than_necessary(planner, tokenizer, fused):
    """4 products, 4 norms, 2 sums, 2 for the gate, 3 for the rotation, 2 for the cache, 1 for attention.

    Separate q, k and v take 3 more.
    """
    planner = fuse(planner) if fused else planner
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 64, 64)
    session = DecodeSession.start(planner, layout, 1, "cpu", torch.float32)
    session.prefill(layout.prompt_ids)
    ids = torch.tensor([[5]])
    with OperationCounter() as counter:
        session.decode(ids, layout.prompt_ids.shape[1])
    embedding, norm, head = 1, 1, 1
    assert counter.count - embedding - norm - head == (18 if fused else 21) * planner.config.num_hidden_layers


def test_an_exception_in_the_callback_ends_decoding_at_that_token(planner, tokenizer):
    seen = []

    def stop(i, tokens):
        seen.append(int((tokens >= 0).sum()))
        if i == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_prompt(planner, tokenizer, PROMPT, 64, 64, on_token=stop)
    assert seen == list(range(1, 11))


def test_sampling_settings_reach_the_tokens(planner, tokenizer):
    greedy, other_seed = (plan_prompt(planner, tokenizer, PROMPT, 64, 64, sampling=Sampling(top_k=1), seed=seed)
                          for seed in (1, 2))
    sampled = plan_prompt(planner, tokenizer, PROMPT, 64, 64, seed=1)
    assert torch.equal(greedy.ids, other_seed.ids)
    assert not torch.equal(greedy.ids, sampled.ids)


def test_a_bad_size_is_refused_before_any_token_is_drawn(planner, tokenizer):
    with pytest.raises(GLMImageError, match=r"width must be a multiple of 32 .* \(got 100\)"):
        plan_prompt(planner, tokenizer, PROMPT, 100, 64, on_token=lambda *_: pytest.fail("a token was drawn"))


@pytest.mark.parametrize("lookahead", [2, 5, 64])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(top_k=1)])
def test_lookahead_writes_the_same_tokens(planner, tokenizer, lookahead, sampling):
    seen = []
    plain = plan_prompt(planner, tokenizer, PROMPT, 64, 64, batch=2, sampling=sampling, seed=4)
    ahead = plan_prompt(planner, tokenizer, PROMPT, 64, 64, batch=2, sampling=sampling, seed=4, lookahead=lookahead,
                        on_token=lambda i, tokens: seen.append(i))
    assert torch.equal(plain.ids, ahead.ids) and torch.equal(plain.coarse, ahead.coarse)
    assert seen == list(range(plain.ids[0].numel() + plain.coarse[0].numel()))


def test_lookahead_writes_the_same_tokens_of_an_edit(planner, tokenizer, reference):
    plain, ahead = (plan_prompt(planner, tokenizer, PROMPT, 96, 64, references=[reference], seed=4, lookahead=n)
                    for n in (1, 7))
    assert torch.equal(plain.ids, ahead.ids)


def test_drafts_repeat_the_left_neighbour_or_in_the_first_column_the_token_above():
    assert draft_sources([(2, 2), (2, 3)]) == [0, 0, 0, 2, 1, 4, 5, 4, 7, 8]


def test_references_of_another_batch_are_refused(planner, tokenizer):
    references = Plan(torch.zeros(2, 3, 2, dtype=torch.int64))
    message = r"references: the batch size must be 1 or 3, the number of plans \(got 2\)"
    with pytest.raises(GLMImageError, match=message):
        plan_prompt(planner, tokenizer, PROMPT, 96, 64, references=[references], batch=3)
