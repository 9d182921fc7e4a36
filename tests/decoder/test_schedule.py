import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from glm_core.decoder import network_timestep, official_sigmas, resolution_shift, sigma_table
from tests.support.tiny import SCHEDULER

SIZES = [(512, 512), (1024, 1024), (2048, 2048), (1152, 1024), (1920, 1088)]


def upstream_schedule(steps: int, shift: float):
    """Sigmas and timesteps as GlmImagePipeline asks diffusers' scheduler for them."""
    scheduler = FlowMatchEulerDiscreteScheduler.from_config(SCHEDULER)
    timesteps = np.linspace(1000, 1.0, steps + 1)[:-1].astype(np.int64).astype(np.float32)
    scheduler.set_timesteps(timesteps=timesteps, sigmas=timesteps / 1000, mu=shift)
    return scheduler.sigmas, scheduler.timesteps


@pytest.mark.parametrize("width, height", SIZES)
def test_schedule_is_upstreams_for_4_to_50_steps(width, height):
    shift = resolution_shift(width, height)
    for steps in range(4, 51):
        sigmas, timesteps = upstream_schedule(steps, shift)
        ours = official_sigmas(steps, shift)
        assert (ours - sigmas).abs().max() <= 1e-6
        assert (network_timestep(ours[:-1], shift) - (timesteps - 1)).abs().max() <= 2e-3


def strided(table: torch.Tensor, steps: int) -> torch.Tensor:
    """What ComfyUI's scheduler "simple" takes from a table of sigmas."""
    stride = len(table) / steps
    return torch.cat((table[[-1 - int(i * stride) for i in range(steps)]], torch.zeros(1)))


@pytest.mark.parametrize("shift", [1.75, 3.25])
def test_equal_strides_through_the_table_are_the_official_schedule(shift):
    table = sigma_table(shift)
    for steps in (*range(1, 101), 123, 333, 500, 998, 999):
        assert torch.equal(strided(table, steps), official_sigmas(steps, shift)), steps


def test_the_table_rises_from_timestep_1_to_1000():
    table = sigma_table(3.25)
    assert (table.diff() >= 0).all() and len(table.unique()) == 1000
    assert table[-1] == 1 and table[0].item() == pytest.approx(3.25 / (3.25 + 999))


@pytest.mark.parametrize("size, shift", [((512, 512), 1.75), ((1024, 1024), 3.25), ((2048, 2048), 6.25),
                                         ((1152, 1024), 3.43198)])
def test_shifts_of_the_facts(size, shift):
    assert resolution_shift(*size) == pytest.approx(shift, abs=1e-5)


@pytest.mark.parametrize("steps", [1, 50, 999, 1000, 5000])
def test_sigmas_fall_strictly(steps):
    sigmas = official_sigmas(steps, 3.25)
    assert len(sigmas) == steps + 1 and (sigmas[:-1] > sigmas[1:]).all()


def test_first_values_at_1024():
    assert official_sigmas(50, 3.25)[:3].tolist() == pytest.approx([1.0, 0.99376, 0.987342], abs=1e-6)
    assert official_sigmas(50, 3.25)[-3:].tolist() == pytest.approx([0.119266, 0.062201, 0], abs=1e-6)


@given(st.floats(0.001, 1), st.floats(1, 12))
def test_timesteps_undo_the_shift_for_any_sigma(t, shift):
    sigma = shift / (shift + 1 / t - 1)
    timestep = network_timestep(torch.tensor(sigma, dtype=torch.float64), shift)
    assert timestep.item() == pytest.approx(1000 * t - 1, abs=1e-6)
