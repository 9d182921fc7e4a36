"""Reference images are block-causal: each attends to itself alone, the target to all."""

import pytest
import torch
import torch.nn.functional as F

from glm_core.decoder import DiTConfig, GLMImageDiT
from glm_core.decoder.layers import gelu_tanh, modulate, rotary_table, rotate
from glm_core.plans import prior_map
from tests.support.tiny import Tiny, random_module

HEAD_DIM = 16


@pytest.fixture(scope="module")
def dit():
    return random_module(GLMImageDiT, DiTConfig.from_json(Tiny(dit_layers=3).dit(), "tiny"))


def latent_and_prior(rows: int, columns: int, seed: int, batch: int = 1):
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 16384, (batch, rows, columns), generator=generator)
    return torch.randn(batch, 16, 4 * rows, 4 * columns, generator=generator), prior_map(ids, 4 * rows, 4 * columns)


TARGET, FIRST, SECOND = latent_and_prior(2, 3, 1), latent_and_prior(3, 2, 2), latent_and_prior(1, 4, 3)
TIMESTEP, CONTEXT = torch.tensor([321.0]), torch.randn(1, 5, 48, generator=torch.Generator().manual_seed(4))


def keys_values(dit, reference):
    return list(dit.reference_keys_values(*reference))


def draw(dit, *references):
    """Velocity of the target with keys and values of these references."""
    return dit(TARGET[0], TIMESTEP, CONTEXT, TARGET[1], references=references)


def explicit(dit, target, references, context, timestep):
    """One forward over the concatenated sequence [references, text, target] with the block mask of the paper."""
    images = [*references, target]
    embedded = [dit.embed(*image)[0] for image in images]
    parts = [*embedded[:-1], dit.glyph_projector(context), embedded[-1]]
    tembs = [dit.embed_time(torch.zeros(1), latent, None) for latent, _ in references]
    temb = dit.embed_time(timestep, target[0], None)
    mask = block_mask([part.shape[1] for part in parts])
    tables = [rotary_table(latent.shape[2] // 2, latent.shape[3] // 2, HEAD_DIM, "cpu") for latent, _ in images]
    tables.insert(-1, None)  # text has no positions

    for block in dit.transformer_blocks:
        for_target, for_text = block.norm1(temb)
        modulations = [*(block.norm1(t)[0] for t in tembs), for_text, for_target]
        parts = explicit_block(block, parts, modulations, tables, mask)
    return dit.unpatchify(dit.proj_out(dit.norm_out(parts[-1], temb)), *target[0].shape[2:])


def block_mask(lengths):
    """Of queries and keys: each reference attends to itself, text and target, the last two, to all."""
    mask = torch.zeros(sum(lengths), sum(lengths), dtype=torch.bool)
    start = 0
    for length in lengths[:-2]:
        mask[start : start + length, start : start + length] = True
        start += length
    mask[start:] = True
    return mask


def explicit_block(block, parts, modulations, tables, mask):
    """A block over parts [1, n, inner], each with its own modulation and rotary table."""
    lengths = [part.shape[1] for part in parts]
    x = torch.cat([modulate(block.norm(part), m.attention.shift, m.attention.scale)
                   for part, m in zip(parts, modulations)], dim=1)
    attn = block.attn1
    q, k, v = (proj(x).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for proj in (attn.to_q, attn.to_k, attn.to_v))
    q, k = (rotate_parts(attn.norm(y), lengths, tables) for y in (q, k))
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
    out = attn.to_out[0](out).split(lengths, dim=1)
    parts = [part + m.attention.gate * o for part, m, o in zip(parts, modulations, out)]
    return [part + m.gate * block.ff(modulate(block.norm(part), m.shift, m.scale))
            for part, m in zip(parts, (modulation.feed_forward for modulation in modulations))]


def rotate_parts(y, lengths, tables):
    """Queries or keys [1, heads, n, head_dim]; parts without a table stay."""
    parts = [part if table is None else rotate(part, table) for part, table in zip(y.split(lengths, dim=2), tables)]
    return torch.cat(parts, dim=2)


@torch.inference_mode()
@pytest.mark.parametrize("references", [[FIRST], [FIRST, SECOND], [SECOND, FIRST, FIRST]], ids=len)
def test_cached_path_equals_one_forward_with_the_explicit_block_mask(dit, references):
    cached = draw(dit, *(keys_values(dit, reference) for reference in references))
    assert (cached - explicit(dit, TARGET, references, CONTEXT, TIMESTEP)).abs().max() <= 1e-4
    assert (cached - draw(dit)).abs().max() > 1e-2


@torch.inference_mode()
def test_the_explicit_mask_is_block_causal(dit):
    """The check above means something: with references that see each other it would fail."""
    assert gelu_tanh(torch.zeros(1)) == 0
    both = explicit(dit, TARGET, [FIRST, SECOND], CONTEXT, TIMESTEP)
    swapped = explicit(dit, TARGET, [SECOND, FIRST], CONTEXT, TIMESTEP)
    assert (both - swapped).abs().max() <= 1e-4  # alone, their order cannot matter to attention
    assert (both - explicit(dit, TARGET, [FIRST], CONTEXT, TIMESTEP)).abs().max() > 1e-3


@torch.inference_mode()
def test_keys_and_values_are_an_images_own(dit):
    """Bit for bit the same whatever else is in the run: they are computed before it and without it."""
    before = keys_values(dit, FIRST)
    draw(dit, before, keys_values(dit, SECOND))
    for (k, v), (k2, v2) in zip(before, keys_values(dit, FIRST)):
        assert torch.equal(k, k2) and torch.equal(v, v2)
    other_tokens = keys_values(dit, (FIRST[0], FIRST[1].flip(2)))
    assert not torch.equal(before[1][0], other_tokens[1][0])


@torch.inference_mode()
def test_order_and_number_of_references_can_change_the_target_only(dit):
    first, second = keys_values(dit, FIRST), keys_values(dit, SECOND)
    both = draw(dit, first, second)
    assert (both - draw(dit, second, first)).abs().max() <= 1e-5
    assert (both - draw(dit, first)).abs().max() > 1e-3


@torch.inference_mode()
def test_one_reference_serves_a_batch_and_a_batch_of_references_goes_item_by_item(dit):
    x, prior = latent_and_prior(2, 3, 5, batch=2)
    references = [latent_and_prior(3, 2, seed) for seed in (6, 7)]
    timestep, context = TIMESTEP.expand(2), CONTEXT.expand(2, -1, -1)
    shared = dit(x, timestep, context, prior, references=[keys_values(dit, references[0])])
    own = dit(x, timestep, context, prior, references=[keys_values(dit, tuple(map(torch.cat, zip(*references))))])
    for i in range(2):
        single = x[i : i + 1], TIMESTEP, CONTEXT, prior[i : i + 1]
        assert (shared[i] - dit(*single, references=[keys_values(dit, references[0])])[0]).abs().max() <= 1e-4
        assert (own[i] - dit(*single, references=[keys_values(dit, references[i])])[0]).abs().max() <= 1e-4


@torch.inference_mode()
def test_keys_and_values_come_block_by_block(dit):
    """So that a host can move each away before the next is computed."""
    layers = dit.reference_keys_values(*FIRST)
    k, v = next(layers)
    assert k.shape == v.shape == (1, 2, 24, HEAD_DIM)
    assert len(list(layers)) == 2
