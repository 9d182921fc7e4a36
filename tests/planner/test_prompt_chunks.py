"""A long prompt is read in chunks, between which a run can be cancelled."""

import itertools
import time

import pytest
import torch

from glm_core.planner import lay_out_prompt, plan_prompt, session
from glm_core.planner.session import PROMPT_CHUNK, DecodeSession
from tests.support.tiny import SMALL, random_planner

LONG = "a dog, " * 60  # some 400 tokens of the small tokenizer
CHUNKS = [1, 7, 150, 300]


class Cancelled(Exception):
    pass


def prompt_logits(planner, layout):
    with torch.inference_mode():
        return DecodeSession.start(planner, layout, 2, "cpu", torch.float32).prefill(layout.prompt_ids)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_chunks_give_the_logits_of_one_pass(planner, tokenizer, monkeypatch, chunk):
    layout = lay_out_prompt(tokenizer, planner.config, LONG, 64, 64)
    whole = prompt_logits(planner, layout)
    monkeypatch.setattr(session, "PROMPT_CHUNK", chunk)
    torch.testing.assert_close(prompt_logits(planner, layout), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("chunk", CHUNKS)
def test_chunks_give_the_plan_of_one_pass(planner, tokenizer, reference, monkeypatch, chunk):
    whole = plan_prompt(planner, tokenizer, LONG, 64, 64, batch=2, references=[reference])
    monkeypatch.setattr(session, "PROMPT_CHUNK", chunk)
    assert torch.equal(plan_prompt(planner, tokenizer, LONG, 64, 64, batch=2, references=[reference]).ids, whole.ids)


@pytest.mark.parametrize("length", [1, PROMPT_CHUNK, PROMPT_CHUNK + 1, 100_000])
def test_passes_stay_small_however_long_the_prompt(length):
    sizes = session.chunk_sizes(length)
    assert sum(sizes) == length
    assert all(0 < size <= PROMPT_CHUNK for size in sizes)
    assert all(size * end <= session.CHUNK_SCORES for size, end in zip(sizes, itertools.accumulate(sizes)))
    assert length > PROMPT_CHUNK or len(sizes) == 1


def test_a_short_prompt_is_one_pass(planner, tokenizer):
    calls = []
    plan_prompt(planner, tokenizer, LONG, 64, 64, on_chunk=lambda: calls.append(1))
    assert len(calls) == 1


def test_a_run_is_cancelled_within_the_prompt(planner, tokenizer, monkeypatch):
    monkeypatch.setattr(session, "PROMPT_CHUNK", 100)
    calls, tokens = [], []

    def cancel():
        calls.append(1)
        if len(calls) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        plan_prompt(planner, tokenizer, LONG, 64, 64, on_chunk=cancel, on_token=lambda *_: tokens.append(1))
    assert len(calls) == 3 and not tokens


def test_a_hundred_thousand_characters_are_laid_out_at_once(tokenizer):
    planner = random_planner(SMALL)
    started = time.monotonic()
    layout = lay_out_prompt(tokenizer, planner.config, "a dog, " * 14286, 64, 64)
    DecodeSession.start(planner, layout, 1, "cpu", torch.float32)
    assert time.monotonic() - started < 2  # nothing can cancel this
    assert layout.length > 10 * PROMPT_CHUNK


@pytest.mark.parametrize("characters, remarks", [(3000, 0), (30000, 1)])
def test_a_long_prompt_is_remarked_upon(planner, tokenizer, caplog, characters, remarks):
    caplog.set_level("INFO")
    lay_out_prompt(tokenizer, planner.config, "a dog, " * (characters // 7), 64, 64)
    assert caplog.text.count("the prompt has ") == remarks
