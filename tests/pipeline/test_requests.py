import pytest
import torch

from glm_core.errors import GLMImageError
from glm_core.pipeline import PlanRequest, ReferenceImage, RenderRequest, RenderSettings, with_seeds
from glm_core.plans import Plan

PLAN = Plan(torch.zeros(2, 2, 3, dtype=torch.int64))


@pytest.mark.parametrize("values, message", [
    ({"width": 100}, r"width must be a multiple of 32 from 32 to 4096 \(got 100\)"),
    ({"height": 8192}, r"height must be .* \(got 8192\)"),
    ({"batch": 0}, r"--batch must be at least 1 \(got 0\)"),
    ({"best_of": 0}, r"--best-of must be at least 1 \(got 0\)"),
    ({"batch": 8, "best_of": 513}, r"--batch times --best-of must be at most 4096 \(got 4104\)"),
    ({"look_ahead": -1}, r"--look-ahead must be at least 1 \(got -1\)"),
])
def test_a_request_for_a_plan_checks_itself(values, message):
    with pytest.raises(GLMImageError, match=message):
        PlanRequest(**{"prompt": "", "width": 64, "height": 64, **values})


@pytest.mark.parametrize("values, message", [
    ({"steps": 0}, r"--steps must be at least 1 \(got 0\)"),
    ({"guidance": float("nan")}, r"--guidance must be a finite number \(got nan\)"),
    ({"quotes": "all"}, r"quotes must be one of .* \(got 'all'\)"),
])
def test_settings_check_themselves(values, message):
    with pytest.raises(GLMImageError, match=message):
        RenderSettings(**values)


def test_no_two_pictures_of_a_command_share_a_seed():
    requests = with_seeds([PlanRequest("a", 64, 64, batch=batch) for batch in (3, 3, 1, 2)], 40)
    assert [request.seed for request in requests] == [40, 43, 46, 47]


def test_plans_that_are_not_kept_have_seeds_of_their_own():
    requests = [PlanRequest("a", 64, 64, batch=batch, best_of=best_of) for batch, best_of in ((3, 2), (1, 4), (1, 1))]
    assert [request.seed for request in with_seeds(requests, 40)] == [40, 46, 50]


def test_seeds_wrap_as_those_of_a_batch_do():
    requests = with_seeds([PlanRequest("a", 64, 64), PlanRequest("b", 64, 64)], 2**64 - 1)
    assert [request.seed for request in requests] == [2**64 - 1, 0]


def test_a_plan_is_drawn_with_its_requests_seed_and_prompt():
    request = RenderRequest.of(PlanRequest("a 'b'", 96, 64, batch=2, seed=7), PLAN, RenderSettings(steps=3, seed=1))
    assert request.settings == RenderSettings(steps=3, seed=7) and request.prompt == "a 'b'" and request.plan is PLAN


def test_a_plan_is_drawn_with_its_requests_references():
    reference = ReferenceImage(torch.zeros(2, 64, 96, 3), PLAN)
    request = PlanRequest("", 96, 64, references=(reference,))
    assert RenderRequest.of(request, PLAN, RenderSettings()).references == (reference,)


def test_noise_of_another_size_is_refused():
    with pytest.raises(GLMImageError,
                       match=r"noise must have the shape \[2, 16, 8, 12\] to match the plan \(got \[1, 16, 8, 12\]\)"):
        RenderRequest(PLAN, "", noise=torch.zeros(1, 16, 8, 12))


def test_images_and_tokens_of_different_batches_are_refused():
    with pytest.raises(GLMImageError, match=r"must have the same batch size \(got 1 and 2\)"):
        ReferenceImage(torch.zeros(1, 64, 96, 3), PLAN)


def test_references_of_another_batch_than_the_plans_are_refused():
    three = ReferenceImage(torch.zeros(3, 64, 96, 3), Plan(torch.zeros(3, 2, 3, dtype=torch.int64)))
    message = r"reference 1: the batch size must be 1 or 2, the number of plans \(got 3\)"
    with pytest.raises(GLMImageError, match=message):
        RenderRequest(PLAN, "", references=(three,))
