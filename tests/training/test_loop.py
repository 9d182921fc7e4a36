import random

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from glm_core.training.loop import Muon, Optimizers, Stage, initialise, orthogonalise, resume, run_stage, save
from tests.support.mapped import is_mapped
from tests.training.logs import losses

CPU = torch.device("cpu")
STAGE = Stage("line", steps=100, batch=16, learning_rate=0.1, save_every=10, average=0.9)


def fit_a_line(folder, stop_at: int | None = None) -> torch.Tensor:
    """Two weights learn a line; the run is interrupted at step ``stop_at``."""
    module = nn.Linear(1, 1)
    initialise(module, 0)
    steps = iter(range(STAGE.steps))

    def batch_loss(rng: random.Random) -> torch.Tensor:
        if next(steps) == stop_at:
            raise KeyboardInterrupt
        x = torch.rand(16, 1)
        return (module(x).float() - 3 * x - rng.random() / 100).square().mean()

    trained = run_stage(STAGE, module, batch_loss, folder, CPU)
    return torch.cat([parameter.flatten() for parameter in trained.parameters()])


def test_an_interrupted_run_resumes_and_ends_with_the_same_weights(tmp_path):
    whole = fit_a_line(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit_a_line(tmp_path / "interrupted", stop_at=57)
    assert torch.equal(fit_a_line(tmp_path / "interrupted"), whole)
    assert losses(tmp_path / "whole", "line")[-1] < 0.1 * losses(tmp_path / "whole", "line")[0]


def test_a_resumed_state_does_not_hold_its_file(tmp_path):
    """It is replaced while the run goes on."""
    module, path = nn.Linear(2, 3), tmp_path / "state.safetensors"
    optimizers, averaged = Optimizers.of(module, 0.1, torch.float32), AveragedModel(module)
    module(torch.ones(1, 2)).sum().backward()
    optimizers.adam.step()
    save(path, 7, averaged, optimizers)
    assert resume(path, averaged, optimizers) == 7 and optimizers.adam.state
    assert not is_mapped(path)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (1, 1)])
def test_muon_in_bfloat16_is_torchs(shape):
    torch.manual_seed(0)
    ours, torchs = (nn.Parameter(start) for start in torch.randn(shape).expand(2, *shape).clone())
    muon = Muon([ours], 0.1, torch.bfloat16)
    torch_muon = torch.optim.Muon([torchs], adjust_lr_fn="match_rms_adamw", weight_decay=0.1)
    for step in range(3):
        ours.grad = torchs.grad = torch.randn(shape)
        for optimizer in (muon, torch_muon):
            optimizer.param_groups[0]["lr"] = 0.01 * (step + 1)
            optimizer.step()
    assert torch.equal(ours, torchs)


def test_orthogonalised_matrices_keep_their_directions_and_lose_their_sizes():
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(20, 8), full_matrices=False)
    x = orthogonalise(u @ torch.diag(torch.linspace(1, 10, 8)) @ v, (3.4445, -4.775, 2.0315), 5, 1e-7)
    turned = u.T @ x @ v.T
    assert turned.diagonal().min() > 0.6 and turned.diagonal().max() < 1.3
    assert (turned - turned.diagonal().diag()).abs().max() < 1e-4
