"""What a request asks for reaches the part that must know it."""

import logging
from dataclasses import replace

import pytest
import torch

from glm_core.checkpoint import VISION
from glm_core.pipeline import (
    PlanRequest,
    RenderRequest,
    RenderSettings,
    load,
    load_planner,
    plan,
    read_references,
    render,
    run,
)
from glm_core.planner import Sampling, plan_prompt
from glm_core.planner.session import DecodeSession
from glm_core.plans import Plan, score_items, take
from glm_core.vision import tokenize
from tests.support.compute import CPU
from tests.support.tiny import small_checkpoint

PROMPT = "a 'sign'"
IMAGES = [torch.rand(1, height, 96, 3, generator=torch.Generator().manual_seed(height)) for height in (64, 128)]
PLAN = Plan(torch.arange(6).view(1, 2, 3))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def references(model):
    found, none = read_references(model, [IMAGES, []], CPU)
    assert none == ()
    return found


def test_references_are_read_in_their_order(model, references):
    vision = load(model, VISION, CPU)
    for reference, image in zip(references, IMAGES, strict=True):
        assert torch.equal(reference.image, image)
        assert torch.equal(reference.tokens.ids, tokenize(vision, image).ids)


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("coarse", [True, False])
def test_a_requests_plan_is_what_the_planner_writes(model, references, count, coarse):
    sampling, images = Sampling(1.5, 0.9, 20), references[:count]
    request = PlanRequest(PROMPT, 96, 64, batch=2, seed=7, sampling=sampling, references=images, coarse=coarse)
    (found,) = plan(model, [request], CPU)
    planner = load_planner(model, CPU)
    expected = plan_prompt(planner.model, planner.tokenizer, PROMPT, 96, 64, batch=2, seed=7, sampling=sampling,
                           references=[image.tokens for image in images], coarse=coarse,
                           fingerprint=planner.fingerprint)
    assert torch.equal(found.ids, expected.ids) and found.origins == expected.origins
    assert (found.coarse is None) == (expected.coarse is None) == (count > 0 or not coarse)


@pytest.mark.parametrize("references_batch", [0, 1, 2])
def test_of_several_plans_for_an_item_the_likeliest_is_kept(model, references_batch):
    """Plans 0 to 2 are for item 0, plans 3 to 5 for item 1; a batch of references has one for each item."""
    images = [torch.rand(1, 64, 96, 3, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    batch = [torch.cat(images[:references_batch])] if references_batch else []
    (found_references,) = read_references(model, [batch], CPU)
    request = PlanRequest(PROMPT, 96, 64, batch=2, seed=7, best_of=3, references=found_references)
    (found,) = plan(model, [request], CPU)
    planner = load_planner(model, CPU)
    tokens = [take(reference.tokens, [0, 0, 0, 1, 1, 1]) if references_batch == 2 else reference.tokens
              for reference in found_references]
    every = plan_prompt(planner.model, planner.tokenizer, PROMPT, 96, 64, batch=6, seed=7, references=tokens,
                        fingerprint=planner.fingerprint)
    means = [score.mean for score in score_items(every)]
    best = [max(range(3), key=means.__getitem__), max(range(3, 6), key=means.__getitem__)]
    assert torch.equal(found.ids, every.ids[best]) and found.origins == tuple(every.origins[i] for i in best)


def test_the_planner_tries_as_many_tokens_as_a_request_says(model, monkeypatch):
    passes, decode = [], DecodeSession.decode

    def counted(session, ids, position):
        passes.append(ids.shape[1])
        return decode(session, ids, position)

    monkeypatch.setattr(DecodeSession, "decode", counted)
    for look_ahead in (1, 4):
        passes.clear()
        plan(model, [PlanRequest(PROMPT, 64, 64, look_ahead=look_ahead)], CPU)
        assert max(passes) == look_ahead


def test_a_size_that_the_model_was_not_trained_for_is_remarked_on_once(model, caplog):
    caplog.set_level(logging.INFO)
    plan(model, [PlanRequest(PROMPT, 64, 64), PlanRequest("", 64, 64)], CPU)
    assert caplog.text.count("64x64 may look worse") == 1


def test_pictures_depend_on_every_reference(model, references):
    request = RenderRequest(PLAN, PROMPT, RenderSettings(steps=1))
    wanted = [replace(request, references=references[:count]) for count in range(3)]
    none, one, two = (rendered.latent for rendered in render(model, wanted, CPU))
    assert (none - one).abs().max() > 1e-3 and (one - two).abs().max() > 1e-3


def test_an_image_that_requests_share_is_encoded_once(model, references, monkeypatch):
    encoded = []
    encode = run.encode_image

    def counted(vae, reference, compute):
        encoded.append(reference)
        return encode(vae, reference, compute)

    monkeypatch.setattr(run, "encode_image", counted)
    plans = plan(model, [PlanRequest("a", 64, 64, references=references)] * 2, CPU)
    requests = [RenderRequest(each, "a", RenderSettings(steps=1), references) for each in plans]
    assert len(list(render(model, requests, CPU))) == 2
    assert len(encoded) == len(references)
