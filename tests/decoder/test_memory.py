"""What the network holds and moves at the released width, counted on tensors without storage."""

import pytest
import torch

from glm_core import ops
from glm_core.decoder import DiTConfig, GLMImageDiT
from glm_core.decoder.dit import PEAK_ACTIVATIONS
from glm_core.decoder.layers import Kernels, rotary_table
from tests.support.live_bytes import LiveBytes
from tests.support.traffic import Traffic

RELEASED = DiTConfig(num_layers=2, num_attention_heads=32, attention_head_dim=128, text_embed_dim=1472,
                     time_embed_dim=512, condition_dim=256, prior_vq_quantizer_codebook_size=16384)
GLYPHS = 20


def flash(q, k, v, heads, transformer_options):
    """The output of attention that stores no scores, as on GPUs."""
    return q.new_empty(q.shape[0], q.shape[2], heads * q.shape[3])


def empty_keys_values(tokens, dtype):
    """Of one reference image."""
    k, v = (torch.empty(1, 32, tokens, 128, device="meta", dtype=dtype) for _ in range(2))
    return [(k, v)] * RELEASED.num_layers


@pytest.mark.parametrize("batch, side, references", [(1, 512, 0), (2, 1024, 0), (1, 2048, 0), (2, 1024, 1)])
def test_the_estimate_is_close_to_what_is_alive_at_once(batch, side, references):
    dtype = torch.bfloat16
    dit = GLMImageDiT(RELEASED, Kernels(flash), "meta", dtype, ops)
    latent_side = side // 8
    tokens = latent_side**2 // 4
    x = torch.empty(batch, 16, latent_side, latent_side, device="meta", dtype=dtype)
    prior = torch.empty(batch, 1, latent_side, latent_side, device="meta", dtype=torch.int64)
    context = torch.empty(batch, GLYPHS, RELEASED.text_embed_dim, device="meta", dtype=dtype)
    keys_values = [empty_keys_values(tokens, dtype) for _ in range(references)]
    known = [*dit.parameters(), x, prior, context,
             *(tensor for layers in keys_values for pair in layers for tensor in pair)]
    with torch.no_grad(), LiveBytes(known) as live:
        dit(x, torch.empty(batch, device="meta"), context, prior, references=keys_values)
    stream = batch * tokens * RELEASED.inner * dtype.itemsize
    assert live.peak == pytest.approx(PEAK_ACTIVATIONS * stream, rel=0.15)


SUB_LAYER = 2 + 2 + 2 + 3  # normalise, modulate, put text and image together, add to the stream
GELU = 4 + 4
ROTATION = 2 * (2 + 2.5 + 4.5 + 3)  # queries and keys: normalise, one product, another, both in float32, and round


def test_a_block_moves_no_more_than_it_must():
    """In bytes of the tokens at the width of the stream; each operation reads its inputs and writes its output."""
    dit = GLMImageDiT(RELEASED, Kernels(flash), "meta", torch.bfloat16, ops)
    img, txt = (torch.empty(1, n, RELEASED.inner, device="meta", dtype=torch.bfloat16) for n in (4096, GLYPHS))
    temb = torch.empty(1, RELEASED.time_embed_dim, device="meta", dtype=torch.bfloat16)
    rotary = rotary_table(64, 64, RELEASED.attention_head_dim, torch.device("meta"), GLYPHS)
    with torch.no_grad(), Traffic() as traffic:
        dit.transformer_blocks[0](img, txt, temb, rotary, {})
    must = (2 * SUB_LAYER + GELU + ROTATION) * (img.nbytes + txt.nbytes)
    assert must <= traffic.moved <= 1.02 * must  # modulations and rotary table


def test_it_counts_what_is_read_and_written():
    with torch.no_grad():
        x, row = torch.empty(100, 10, device="meta"), torch.empty(10, device="meta")
        with Traffic() as traffic:
            y = x[:50] + row.expand(50, 10)
            y.t().mul_(2)
            y @ x.t()
    assert traffic.moved == 4 * (500 + 10 + 500 + 500 + 500)


def test_it_counts_what_is_alive_at_once():
    with torch.no_grad():
        x = torch.empty(1000, device="meta")
        with LiveBytes([x]) as live:
            y = x + 1
            z = (y * 2).sum()
            y = z + x
    assert live.peak == 8004  # y twice, once as the old one and once as the product or the new one, and the sum
