"""The memory that a session takes at the released width, counted on tensors without storage."""

import pytest
import torch
import torch.nn.functional as F

from glm_core import ops
from glm_core.planner import PlannerConfig, PlannerModel, PromptLayout
from glm_core.planner.model import KVCache
from glm_core.planner.session import DecodeSession, session_bytes
from tests.support.live_bytes import LiveBytes

RELEASED = PlannerConfig(hidden_size=4096, num_hidden_layers=2, num_attention_heads=32, num_key_value_heads=2,
                         intermediate_size=13696, vocab_size=168064, vision_vocab_size=16512, codebook_size=16384,
                         image_start_token_id=16384, image_end_token_id=16385, mrope_section=(8, 12, 12))


def attention_without_scores(q, k, v, **options):
    """Like the fused kernels, which keep no scores; on the meta device torch would count them."""
    return torch.empty_like(q)


@pytest.mark.parametrize("batch, prompts, tokens, grid", [
    (1, 1, 60, (32, 32)), (4, 1, 60, (32, 32)), (1, 1, 900, (32, 32)), (2, 2, 500, (64, 64)),
    (1, 1, 5000, (32, 32)), (1, 1, 12000, (32, 32)), (2, 2, 5000, (32, 32))])
def test_the_estimate_is_close_to_the_peak(monkeypatch, batch, prompts, tokens, grid):
    monkeypatch.setattr(F, "scaled_dot_product_attention", attention_without_scores)
    kw = {"device": "meta", "dtype": torch.bfloat16}
    model = PlannerModel(RELEASED, operations=ops, **kw)
    layout = PromptLayout("", torch.zeros(prompts, tokens, dtype=torch.int64), [tokens], [grid])
    with torch.no_grad(), LiveBytes(model.parameters()) as live:
        rotary = tuple(torch.empty(layout.length, RELEASED.head_size, **kw) for _ in range(2))
        cache = KVCache(RELEASED, batch, layout.length, **kw)
        # not from DecodeSession.start: there they are a copy on another device, but on meta a view of the table
        embeddings = torch.empty(RELEASED.codebook_size, RELEASED.hidden_size, **kw)
        DecodeSession(model, rotary, cache, embeddings).prefill(layout.prompt_ids)
    assert live.peak == pytest.approx(session_bytes(RELEASED, layout, batch, 1, torch.bfloat16), rel=0.15)
