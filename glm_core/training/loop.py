"""One training loop for every stage: seeded by step, resumable at any step, with a log and its curve."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

LossAt = Callable[[random.Random], Tensor]
ENDS = ("lm_head", "proj_out", "conv_in", "conv_out")  # first and last layers, which Muon does not suit
MUON_FACTOR = 2  # its learning rate, over AdamW's


@dataclass(frozen=True)
class Stage:
    """How long and how fast a part learns; ``average`` is the decay of the weights' moving average, which is what is kept."""

    name: str
    steps: int
    batch: int
    learning_rate: float
    seed: int = 0
    warm_up: int = 50
    average: float = 0.99
    weight_decay: float = 0.01
    save_every: int = 200


def initialise(module: nn.Module, seed: int) -> None:
    """Random weights in place of the uninitialised ones of a module made for loading."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1:
            parameter.data.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
        else:
            fan_in = parameter[0].numel()
            parameter.data.normal_(std=0.5 if "embedding" in name or "embed_tokens" in name else fan_in**-0.5, generator=generator)


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine down to a twentieth."""
    if step < stage.warm_up:
        return stage.learning_rate * (step + 1) / stage.warm_up
    progress = (step - stage.warm_up) / max(1, stage.steps - stage.warm_up)
    return stage.learning_rate * (0.05 + 0.95 * (1 + math.cos(math.pi * progress)) / 2)


def precision(device: torch.device) -> torch.dtype:
    """What products are computed in: bfloat16, but float32 on CPUs without such instructions.

    On one of those Muon took 22 s in bfloat16 of a decoder's step whose other parts took 3 s in float32 (torch 2.13).
    """
    if device.type == "cpu" and not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return torch.float32
    return torch.bfloat16


def orthogonalise(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """About the nearest matrix whose singular values are one, by Newton and Schulz's iteration in the matrix's own precision."""
    a, b, c = coefficients
    x = matrix / matrix.norm().clamp(min=eps)
    x = x.T if len(x) > x.shape[1] else x
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if len(matrix) > matrix.shape[1] else x


class Muon(torch.optim.Muon):
    """torch's, which iterates in bfloat16 whatever the device, in a precision of choice; with Nesterov's momentum and AdamW's rates."""

    def __init__(self, matrices: list[nn.Parameter], weight_decay: float, dtype: torch.dtype):
        super().__init__(matrices, weight_decay=weight_decay)
        self.dtype = dtype

    @torch.no_grad()
    def step(self) -> None:
        (group,) = self.param_groups
        for matrix in group["params"]:
            if matrix.grad is None:
                continue
            momentum = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
            momentum.lerp_(matrix.grad, 1 - group["momentum"])
            ahead = matrix.grad.lerp(momentum, group["momentum"])
            update = orthogonalise(ahead.to(self.dtype), group["ns_coefficients"], group["ns_steps"], group["eps"])
            matrix.mul_(1 - group["lr"] * group["weight_decay"])
            matrix.add_(update, alpha=-0.2 * max(matrix.shape) ** 0.5 * group["lr"])


@dataclass(frozen=True)
class Optimizers:
    """Muon (Jordan 2024) for the matrices and convolutions inside the networks, AdamW for all else.

    On a small scale Muon needs half of AdamW's steps for a transformer and a fifth for convolutions. It takes matrices
    only, so ``matrices`` are flat views of ``weights``.
    """

    adam: torch.optim.AdamW
    muon: Muon
    matrices: list[nn.Parameter]
    weights: list[nn.Parameter]

    @classmethod
    def of(cls, module: nn.Module, weight_decay: float, dtype: torch.dtype) -> Optimizers:
        weights = [layer.weight for name, layer in module.named_modules()
                   if isinstance(layer, nn.Linear | nn.Conv2d) and not name.endswith(ENDS)]
        inside = {id(weight) for weight in weights}
        others = [parameter for parameter in module.parameters() if id(parameter) not in inside]
        matrices = [nn.Parameter(weight.data.flatten(1)) for weight in weights]
        return cls(torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=weight_decay),
                   Muon(matrices, weight_decay, dtype), matrices, weights)

    def step(self, learning_rate: float) -> None:
        for matrix, weight in zip(self.matrices, self.weights):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for optimizer, factor in ((self.adam, 1), (self.muon, MUON_FACTOR)):
            optimizer.param_groups[0]["lr"] = factor * learning_rate
            optimizer.step()

    def parameters(self) -> list[tuple[torch.optim.Optimizer, Tensor]]:
        return [(optimizer, parameter) for optimizer in (self.adam, self.muon) for parameter in optimizer.param_groups[0]["params"]]


def run_stage(stage: Stage, module: nn.Module, loss_at: LossAt, folder: Path, device: torch.device) -> nn.Module:
    """Train ``module`` and leave the averaged weights in it.

    ``loss_at(rng)`` gives the loss of a batch that depends on ``rng`` alone, which is seeded by stage and step.
    State and log are kept in ``folder``; a run that was cut short goes on where it was last saved.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizers = Optimizers.of(module, stage.weight_decay, precision(device))
    averaged = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(stage.average), use_buffers=True)
    first = resume(folder / f"{stage.name}.state.safetensors", averaged, optimizers)
    started = time.monotonic()
    for step in range(first, stage.steps):
        rng = random.Random(f"{stage.name}-{stage.seed}-{step}")
        torch.manual_seed(rng.getrandbits(63))
        loss = train_step(stage, step, module, optimizers, loss_at, rng, device)
        averaged.update_parameters(module)
        if step % 10 == 0 or step + 1 == stage.steps:
            log(folder / f"{stage.name}.jsonl", step, loss, time.monotonic() - started)
        if (step + 1) % stage.save_every == 0 or step + 1 == stage.steps:
            save(folder / f"{stage.name}.state.safetensors", step + 1, averaged, optimizers)
    module.load_state_dict(averaged.module.state_dict())
    return module.eval()


def attention(device: torch.device):
    """On a CPU a planner's step takes 1.5 times as long with fused attention as with plain products in bfloat16 (torch 2.13)."""
    if device.type != "cpu" or precision(device) == torch.float32:
        return nullcontext()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # despite its name, for all devices
    return sdpa_kernel(SDPBackend.MATH)


def train_step(stage: Stage, step: int, module: nn.Module, optimizers: Optimizers, loss_at: LossAt, rng: random.Random, device) -> Tensor:
    dtype = precision(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32), attention(device):
        loss = loss_at(rng)
    module.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizers.step(learning_rate(stage, step))
    return loss


def log(path: Path, step: int, loss: Tensor, seconds: float) -> None:
    with path.open("a") as file:
        file.write(json.dumps({"step": step, "loss": round(loss.item(), 6), "seconds": round(seconds, 1)}) + "\n")


def save(path: Path, step: int, averaged: AveragedModel, optimizers: Optimizers) -> None:
    """Trained and averaged weights, the optimizers' moments and the step, as safetensors."""
    tensors = {f"average.{name}": tensor for name, tensor in averaged.state_dict().items()}
    for i, (optimizer, parameter) in enumerate(optimizers.parameters()):
        tensors[f"weight.{i}"] = parameter.data
        tensors |= {f"state.{i}.{name}": value for name, value in optimizer.state[parameter].items()}
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata={"step": str(step)})
    partial.replace(path)


def resume(path: Path, averaged: AveragedModel, optimizers: Optimizers) -> int:
    """Bring back what ``save`` kept; the step to go on with, 0 when there is nothing."""
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        step = int(file.metadata()["step"])
    tensors = load_file(path)
    averaged.load_state_dict({name.removeprefix("average."): t for name, t in tensors.items() if name.startswith("average.")})
    for i, (optimizer, parameter) in enumerate(optimizers.parameters()):
        parameter.data.copy_(tensors[f"weight.{i}"])
        kept = f"state.{i}."
        optimizer.state[parameter] = {name.removeprefix(kept): t for name, t in tensors.items() if name.startswith(kept)}
    return step


def draw_curves(folder: Path, out: Path) -> None:
    """The losses of all stages that have a log in ``folder``, one panel each, as a PNG."""
    import matplotlib  # only training wants it

    matplotlib.use("Agg")
    from matplotlib import pyplot

    logs = sorted(folder.glob("*.jsonl"))
    figure, axes = pyplot.subplots(1, len(logs), figsize=(4 * len(logs), 3), squeeze=False)
    for axis, path in zip(axes[0], logs):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        axis.semilogy([row["step"] for row in rows], [row["loss"] for row in rows], linewidth=0.8)
        axis.set(title=path.stem, xlabel="step", ylabel="loss")
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    pyplot.close(figure)
