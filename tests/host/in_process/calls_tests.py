"""What the host does for a token of a planner of the released depth whose weights ComfyUI pages, counted."""

import gc
import sys
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import NamedTuple
from unittest import SkipTest

import comfy.ops
import torch
from half_loaded import CPU
from paged import move_elsewhere, paging
from torch.utils._python_dispatch import TorchDispatchMode

from glm_core.host import compat
from glm_core.host.paging import held_in_place
from glm_core.planner import PlannerConfig, PlannerModel, PromptLayout
from glm_core.planner.session import DecodeSession

DEPTH = PlannerConfig(hidden_size=64, num_hidden_layers=40, num_attention_heads=4, num_key_value_heads=2,
                      intermediate_size=96, vocab_size=512, vision_vocab_size=264, codebook_size=256,
                      image_start_token_id=256, image_end_token_id=257, mrope_section=(1, 1, 2))
LAYOUT = PromptLayout("", torch.zeros(1, 9, dtype=torch.int64), [9], [(3, 2)])


class Calls(NamedTuple):
    """Of Python functions and of C functions."""

    python: int
    c: int


def count_calls(call: Callable[[], object]) -> Calls:
    """Of the second run."""
    call()
    counts = dict.fromkeys(("call", "c_call"), 0)

    def note(frame, event, argument):
        if event in counts:
            counts[event] += 1

    gc.disable()
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return Calls(counts["call"], counts["c_call"])


class KernelCounter(TorchDispatchMode):
    """Counts operations that compute something; views do not."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += not operation.is_view and operation.overloadpacket.__name__ not in ("_unsafe_view", "detach")
        return operation(*args, **(kwargs or {}))


@contextmanager
def paged_session():
    """A session after its prompt, and its patcher. The matrices are paged; norms are on the device, as with ComfyUI."""
    with paging() as pages:
        model = PlannerModel(DEPTH, CPU, torch.float32, comfy.ops.disable_weight_init).eval()
        for module in model.modules():
            module.comfy_cast_weights = True
            if isinstance(module, torch.nn.Linear):
                module._v = pages.alloc(sum(4 * x.numel() + 512 for x in module.parameters()))
                module._v_signature = None
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        move_elsewhere(model)
        session = DecodeSession.start(model, LAYOUT, 1, CPU, torch.float32)
        session.prefill(LAYOUT.prompt_ids)
        yield session, SimpleNamespace(model=model, load_device=CPU, is_dynamic=lambda: True)


def calls_of_a_token(held: bool) -> tuple[Calls, int]:
    """Calls and kernels of a token that is not recorded."""
    ids, position = torch.tensor([[5]]), LAYOUT.prompt_ids.shape[1]
    with paged_session() as (session, patcher), held_in_place(patcher, torch.float32) if held else nullcontext():
        calls = count_calls(lambda: session.decode(ids, position))
        with KernelCounter() as kernels:
            session.decode(ids, position)
    return calls, kernels.count


def test_a_held_planner_needs_fewer_calls_a_token(files):
    if not compat.can_hold_pages():
        raise SkipTest("this ComfyUI cannot page weights")
    (paged, paged_kernels), (held, held_kernels) = calls_of_a_token(False), calls_of_a_token(True)
    assert sum(held) <= 0.75 * sum(paged)
    assert held_kernels == paged_kernels <= 22 * DEPTH.num_hidden_layers
