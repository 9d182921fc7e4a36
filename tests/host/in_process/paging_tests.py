"""The planner with paged weights: held in place for a run, released after it, and the same plan in every way."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import NamedTuple
from unittest.mock import patch

import comfy.model_management
import comfy.model_patcher
import torch
from half_loaded import random_patches
from paged import Pages, move_elsewhere, paging
from planner_tests import TracingRecorder, plan_ids
from torch import Tensor

from glm_core.host.planner import HostPlanner, PlanProgress
from glm_core.planner import lay_out_prompt


class Paged(NamedTuple):
    """A planner with paged weights, and the same one without, on the same patches."""

    planner: HostPlanner
    plain: HostPlanner
    pages: Pages


def number_of_tokens(planner: HostPlanner) -> int:
    """Of a plan by ``plan_ids``."""
    return lay_out_prompt(planner.tokenizer, planner.config, "a poster", 64, 96).new_tokens


def where_weights_are_paged(test: Callable) -> Callable:
    """Skip a test where ComfyUI cannot page weights, as in 0.8."""
    return test if hasattr(comfy.model_patcher, "ModelPatcherDynamic") else wraps(test)(lambda files: None)


@contextmanager
def paged_planner(files, patches: bool = False) -> Iterator[Paged]:
    plain = HostPlanner(files.planner)
    with paging() as pages:
        planner = HostPlanner(files.planner)
        if patches:
            for each in (planner, plain):
                torch.manual_seed(1)
                each.patcher.add_patches(random_patches(each.patcher))
        comfy.model_management.load_models_gpu([planner.patcher])
        move_elsewhere(planner.patcher.model)
        yield Paged(planner, plain, pages)
        assert pages.pinned == []


def recorded_ids(planner: HostPlanner, recordings: int, **options) -> Tensor:
    """Ids of a plan; so many passes must have been recorded."""
    recorder = TracingRecorder()
    with patch.object(planner, "recorder", recorder):
        ids = plan_ids(planner, **options)
    assert recorder.recordings == recordings
    return ids


@contextmanager
def on_token(call: Callable[[int], object]) -> Iterator[None]:
    with patch.object(PlanProgress, "__call__", lambda progress, i, tokens: call(i)):
        yield


def check_held(paged: Paged, find_ids: Callable[[], Tensor]) -> None:
    """One fault a weight for the prompt and one to hold it, none for a token; all pinned until the end."""
    everything, seen = list(range(len(paged.pages.pages))), []
    paged.pages.clear_log()
    with on_token(lambda i: seen.append((len(paged.pages.faults), sorted(paged.pages.pinned)))):
        ids = find_ids()
    assert len(everything) > 5
    assert seen == [(2 * len(everything), everything)] * number_of_tokens(paged.plain)
    assert sorted(paged.pages.faults) == sorted(2 * everything)
    assert paged.pages.pinned == []
    assert not [module for module in paged.planner.patcher.model.modules() if hasattr(module, "_prefetch")]
    assert torch.equal(ids, plan_ids(paged.plain))


@where_weights_are_paged
def test_paged_weights_are_held_for_a_run(files):
    with paged_planner(files) as paged:
        check_held(paged, lambda: plan_ids(paged.planner))
        assert len(paged.pages.uploads) == len(paged.pages.pages)
        check_held(paged, lambda: plan_ids(paged.planner))
        assert paged.pages.uploads == []


@where_weights_are_paged
def test_held_weights_are_recorded(files):
    with paged_planner(files) as paged:
        check_held(paged, lambda: recorded_ids(paged.planner, 1))


@where_weights_are_paged
def test_held_weights_are_recorded_for_several_tokens(files):
    with paged_planner(files) as paged:
        check_held(paged, lambda: recorded_ids(paged.planner, 1, lookahead=4))


@where_weights_are_paged
def test_a_lora_in_pages_is_recorded(files):
    with paged_planner(files, patches=True) as paged:
        check_held(paged, lambda: recorded_ids(paged.planner, 1))
        check_held(paged, lambda: plan_ids(paged.planner))
        unpatched = HostPlanner(files.planner)
        assert not torch.equal(plan_ids(paged.plain), plan_ids(unpatched))


@where_weights_are_paged
def test_held_weights_are_free_after_a_failed_recording(files):
    with paged_planner(files) as paged, patch.object(paged.planner, "recorder", lambda step: None):
        check_held(paged, lambda: plan_ids(paged.planner))


@where_weights_are_paged
def test_weights_evicted_by_the_prompt_are_paged_in_again(files):
    for patches in (False, True):
        with paged_planner(files, patches) as paged:
            expected = plan_ids(paged.plain)
            paged.pages.clear_log()
            with after_prompt(paged, lambda: [paged.pages.evict(page) for page in (0, 3)]):
                ids = recorded_ids(paged.planner, 1)
            assert torch.equal(ids, expected)
            assert sorted(paged.pages.uploads) == sorted([*range(len(paged.pages.pages)), 0, 3])


@contextmanager
def after_prompt(paged: Paged, call: Callable[[], object]) -> Iterator[None]:
    hold = paged.planner.hold_and_record

    @contextmanager
    def call_and_hold():
        call()
        with hold() as record:
            yield record

    with patch.object(paged.planner, "hold_and_record", call_and_hold):
        yield


@where_weights_are_paged
def test_without_room_for_one_weight_all_are_released_and_nothing_is_recorded(files):
    with paged_planner(files) as paged:
        seen = []
        paged.pages.room = len(paged.pages.pages) - 1
        with on_token(lambda i: seen.append((len(paged.pages.faults), paged.pages.pinned[:]))):
            ids = recorded_ids(paged.planner, 0)
        assert torch.equal(ids, plan_ids(paged.plain))
        faults = [count for count, _ in seen]
        assert not any(pinned for _, pinned in seen)
        assert len(paged.pages.pages) < faults[0] <= 2 * len(paged.pages.pages)  # for the prompt, then to hold them
        assert faults == [faults[0] + i * len(paged.pages.pages) for i in range(len(seen))]


class Broken(Exception):
    pass


@where_weights_are_paged
def test_held_weights_are_released_after_a_cancel_and_after_an_error(files):
    def end(i: int) -> None:
        assert len(paged.pages.pinned) == len(paged.pages.pages)
        if i == 5:
            raise error

    with paged_planner(files) as paged:
        for error in (comfy.model_management.InterruptProcessingException(), Broken()):
            with on_token(end):
                assert ends_with(type(error), lambda: recorded_ids(paged.planner, 1))
            assert paged.pages.pinned == []
            check_held(paged, lambda: recorded_ids(paged.planner, 1))


@where_weights_are_paged
def test_an_error_while_weights_are_paged_in_releases_those_before(files):
    with paged_planner(files) as paged, after_prompt(paged, lambda: paged.pages.broken.append(3)):
        assert ends_with(RuntimeError, lambda: plan_ids(paged.planner))


def ends_with(error: type[BaseException], call: Callable[[], object]) -> bool:
    try:
        call()
    except error:
        return True
    return False


@where_weights_are_paged
def test_weights_that_python_changes_in_every_pass_are_not_recorded(files):
    with paged_planner(files) as paged:
        expected = plan_ids(paged.plain)
        for planner in (paged.planner, paged.plain):
            planner.patcher.add_weight_wrapper("lm_head.weight", lambda weight: -weight)
        paged.pages.clear_log()
        ids = recorded_ids(paged.planner, 0)
        assert torch.equal(ids, recorded_ids(paged.plain, 0)) and not torch.equal(ids, expected)
        assert len(paged.pages.faults) == number_of_tokens(paged.plain) * len(paged.pages.pages)
