import logging
from types import SimpleNamespace

import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.planner import lay_out_prompt, warn_of_untrained_size
from glm_core.plans import Plan

PROMPT = "two cats on a red sofa"


def image_tokens(batch: int = 1, first: int = 0) -> Plan:
    """Tokens [batch, 3, 2] that count up from ``first``."""
    return Plan(first + torch.arange(6 * batch).view(batch, 3, 2))


def test_a_prompt_is_followed_by_the_coarse_grid_and_the_target(planner, tokenizer):
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64)
    coarse, target = layout.grids
    assert target == (2, 3) and layout.segments == [layout.prompt_ids.shape[1]] and layout.size == (96, 64)
    assert layout.new_tokens == coarse[0] * coarse[1] + 6
    assert layout.length == layout.prompt_ids.shape[1] + layout.new_tokens
    assert layout.prompt_ids[0, -1] == planner.config.image_start_token_id


def test_without_a_coarse_grid_the_target_alone_is_written(planner, tokenizer):
    assert lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, coarse=False).grids == [(2, 3)]


def test_references_come_before_the_prompt_between_start_and_end(planner, tokenizer):
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, [image_tokens(), image_tokens(first=6)])
    start, end = planner.config.image_start_token_id, planner.config.image_end_token_id
    assert layout.prompt_ids[0, :16].tolist() == [start, *range(6), end, start, *range(6, 12), end]
    assert layout.segments[:6] == [1, (3, 2), 1] * 2 and layout.grids == [(2, 3)]


def test_a_single_reference_is_shared_by_all_items_of_a_batch(planner, tokenizer):
    layout = lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, [image_tokens(2), image_tokens()])
    assert layout.prompt_ids.shape[0] == 2 and torch.equal(layout.prompt_ids[0, 8:], layout.prompt_ids[1, 8:])


def test_references_of_unequal_batches_are_refused(planner, tokenizer):
    with pytest.raises(GLMImageError, match=r"reference 1: the batch size must be 1 or 3.* \(got 2\)"):
        lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, [image_tokens(2), image_tokens(3)])


def test_tokens_outside_the_codebook_are_refused(planner, tokenizer):
    tokens = image_tokens(first=planner.config.codebook_size - 5)
    with pytest.raises(GLMImageError, match="reference 1: ids must be from 0 to"):
        lay_out_prompt(tokenizer, planner.config, PROMPT, 96, 64, [tokens])


def test_a_size_that_the_model_was_not_trained_for_is_logged(planner, caplog):
    caplog.set_level(logging.INFO)
    warn_of_untrained_size(planner.config, *(planner.config.trained_sides[0],) * 2)
    assert not caplog.messages
    warn_of_untrained_size(planner.config, 32, planner.config.trained_sides[1])
    assert f"32x{planner.config.trained_sides[1]} may look worse" in caplog.text


@pytest.mark.parametrize("sides, told", [((256, 256), "sides of 256 pixels"), ((64, 256), "sides of 64 to 256 pixels")])
def test_the_trained_sides_are_told_as_one_or_as_a_range(sides, told, caplog):
    caplog.set_level(logging.INFO)
    warn_of_untrained_size(SimpleNamespace(trained_sides=sides), 32, 32)
    assert told in caplog.text
