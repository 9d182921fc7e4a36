"""What a session holds at the released width, counted on tensors without storage."""

import pytest
import torch
import torch.nn.functional as F

from glm_core import ops
from glm_core.planner import PlannerConfig, PlannerModel, PromptLayout
from glm_core.planner.model import KVCache
from glm_core.planner.session import DecodeSession, session_bytes
from tests.support.live_bytes import LiveBytes

RELEASED = PlannerConfig(hidden_size=4096, num_hidden_layers=2, num_attention_heads=32, num_key_value_heads=2,
                         intermediate_size=13696,
                         vocab_size=168064, vision_vocab_size=16512, codebook_size=16384, image_start_token_id=16384,
                         image_end_token_id=16385, mrope_section=(8, 12, 12))


@pytest.mark.parametrize("batch, prompts, words, sides", [
    (1, 1, 60, (32, 32)), (4, 1, 60, (32, 32)), (1, 1, 900, (32, 32)), (2, 2, 500, (64, 64))])
def test_the_estimate_is_close_to_what_is_alive_at_once(monkeypatch, batch, prompts, words, sides):
    dtype = torch.bfloat16
    monkeypatch.setattr(F, "scaled_dot_product_attention", lambda q, k, v,
                        **options: torch.empty_like(q))  # keeps no scores
    model = PlannerModel(RELEASED, "meta", dtype, ops)
    layout = PromptLayout("", torch.zeros(prompts, words, dtype=torch.int64), [words], [sides])
    with torch.no_grad(), LiveBytes(model.parameters()) as live:
        made = {"device": "meta", "dtype": dtype}
        rotary = tuple(torch.empty(layout.length, RELEASED.head_size, **made) for _ in range(2))
        embeddings = torch.empty(RELEASED.codebook_size, RELEASED.hidden_size,
                                 **made)  # on a device a copy, on meta a view of the table
        DecodeSession(model, rotary, KVCache(RELEASED, batch, layout.length, **made),
                      embeddings).prefill(layout.prompt_ids)
    assert live.peak == pytest.approx(session_bytes(RELEASED, layout, batch, 1, dtype), rel=0.15)
