"""The planner's CUDA branches without a GPU: on tensors that have a shape and a device, and no numbers.

With a CUDA build of torch, every operation is checked for tensors that are on another device, and a number that is read
back raises DataDependentOutputException. With other builds they are skipped.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from unittest import SkipTest
from unittest.mock import patch

import comfy.ops
import torch
from paged import paging
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from glm_core.host import compat
from glm_core.host.paging import held_in_place
from glm_core.planner import PlannerConfig, PlannerModel, PromptLayout, Sampling, generate_plan
from glm_core.plans import Plan

CUDA, BATCH, GRIDS = torch.device("cuda", 0), 3, [(1, 2), (2, 2)]
SAMPLINGS = Sampling(), Sampling(top_k=1), Sampling(top_k=50, top_p=1.0)
CONFIG = PlannerConfig(hidden_size=64, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
                       intermediate_size=96, vocab_size=20000, vision_vocab_size=16512, codebook_size=16384,
                       image_start_token_id=16384, image_end_token_id=16385, mrope_section=(1, 1, 2))


def replayed(step: Callable[[], None]) -> Callable[[], None]:
    """A GraphRecorder: what would be recorded runs for every token, after one run as before a capture."""
    step()
    return step


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Tensors without numbers. A plan's check of its ids, once a run, would read them."""
    if not torch.backends.cuda.is_built():
        raise SkipTest("needs a CUDA build of torch")
    with FakeTensorMode(), patch.object(Plan, "__post_init__"):
        yield


def fake_kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Takes what ``choose_token_attention`` takes."""
    assert lengths.device == CUDA and (lengths.shape, lengths.dtype) == ((BATCH,), torch.int32)
    return q.transpose(1, 2).flatten(2)


def fake_planner(device: torch.device, **options) -> PlannerModel:
    return PlannerModel(CONFIG, device, torch.bfloat16, comfy.ops.manual_cast, **options)


def fake_plan(model: PlannerModel, **options) -> Plan:
    layout = PromptLayout("", torch.zeros(1, 9, dtype=torch.int64), [9], GRIDS)
    return generate_plan(model, layout, batch=BATCH, device=CUDA, dtype=torch.bfloat16, **options)


def check(plan: Plan) -> None:
    assert plan.coarse is not None
    assert (plan.coarse.shape, plan.ids.shape) == ((BATCH, *GRIDS[0]), (BATCH, *GRIDS[1]))
    assert plan.ids.device == plan.coarse.device == CUDA


@contextmanager
def recorder_of_held(patcher, record) -> Iterator:
    with held_in_place(patcher, torch.bfloat16) as held:
        assert held
        yield record


def test_a_plan_stays_on_the_gpu(files):
    with fake_cuda():
        model = fake_planner(CUDA)
        for sampling in SAMPLINGS:
            check(fake_plan(model, sampling=sampling))


def test_a_recorded_plan_stays_on_the_gpu(files):
    with fake_cuda():
        for kernel in (None, fake_kernel):
            model = fake_planner(CUDA, token_attention=kernel)
            for sampling in SAMPLINGS:
                check(fake_plan(model, sampling=sampling, recorder=nullcontext(replayed)))


def test_a_paged_plan_stays_on_the_gpu(files):
    if not compat.can_hold_pages():
        raise SkipTest("this ComfyUI cannot page weights")
    with paging("cuda:0") as pages, patch("comfy.model_management.NUM_STREAMS", 0), fake_cuda():
        model = fake_planner(torch.device("cpu"))
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                module._v = pages.alloc(sum(2 * x.numel() + 512 for x in module.parameters()))
                module._v_signature = None
        patcher = SimpleNamespace(model=model, load_device=CUDA, is_dynamic=lambda: True)
        for record in (None, replayed):
            check(fake_plan(model, recorder=recorder_of_held(patcher, record)))
            assert pages.pinned == [] and len(pages.uploads) == len(pages.pages)


def test_a_number_that_is_read_back_from_the_gpu_is_noticed(files):
    with fake_cuda():
        model = fake_planner(CUDA)
        try:
            fake_plan(model, on_token=lambda i, tokens: tokens[0, i].item())
        except DataDependentOutputException:
            return
    raise AssertionError("nothing was noticed")
