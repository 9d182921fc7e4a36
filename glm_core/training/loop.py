"""One training loop for every stage: seeded at each step, resumable at any saved step, with a log of the losses."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..errors import GLMImageError
from ..files import read_tensors

BatchLoss = Callable[[random.Random], Tensor]  # a seeded generator → the loss of the batch that it draws
OUTER_LAYERS = ("lm_head", "proj_out", "conv_in", "conv_out")  # first and last layers, for which Muon is unsuitable
MUON_FACTOR = 2  # Muon's learning rate / AdamW's
FINAL_RATE = 0.05  # learning rate at the end / the highest
LOG_EVERY = 10  # steps


@dataclass(frozen=True)
class Stage:
    """How long and how fast a part learns.

    name: seeds the random numbers and names the files. warm_up, save_every: in steps. average: decay per step of the
    moving average of the weights, which is the result of the stage.
    """

    name: str
    steps: int
    batch: int
    learning_rate: float
    seed: int = 0
    warm_up: int = 50
    average: float = 0.99
    weight_decay: float = 0.01
    save_every: int = 200


def initial_std(name: str, parameter: Tensor) -> float:
    """Standard deviation for a parameter with two or more dimensions: 0.5 for embeddings, else 1 / sqrt(inputs)."""
    inputs = parameter[0].numel()
    return 0.5 if "embedding" in name or "embed_tokens" in name else inputs**-0.5


def initialise(module: nn.Module, seed: int) -> None:
    """Fill a module's uninitialised parameters: matrices at random, norms with 1, biases with 0."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.ndim == 1:
            is_norm = "norm" in name and name.endswith("weight")
            parameter.data.fill_(1.0 if is_norm else 0.0)
        else:
            parameter.data.normal_(std=initial_std(name, parameter), generator=generator)


def learning_rate(stage: Stage, step: int) -> float:
    """Linear warm-up, then a cosine down to FINAL_RATE of the stage's learning rate."""
    if step < stage.warm_up:
        return stage.learning_rate * (step + 1) / stage.warm_up
    progress = (step - stage.warm_up) / max(1, stage.steps - stage.warm_up)
    return stage.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * (1 + math.cos(math.pi * progress)) / 2)


def precision(device: torch.device) -> torch.dtype:
    """The dtype of matrix products: bfloat16, but float32 on CPUs without bfloat16 instructions."""
    if device.type != "cpu":
        return torch.bfloat16
    has_bfloat16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if has_bfloat16 else torch.float32


def orthogonalise(matrix: Tensor, coefficients: tuple[float, float, float], steps: int, eps: float) -> Tensor:
    """Approximately the nearest matrix whose singular values are all 1, by a Newton-Schulz iteration in its own dtype.

    Source: Jordan 2024, "Muon"; the same arithmetic as torch.optim.Muon.
    """
    a, b, c = coefficients
    x = matrix / matrix.norm().clamp(min=eps)
    x = x.T if len(x) > x.shape[1] else x
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if len(matrix) > matrix.shape[1] else x


class Muon(torch.optim.Muon):
    """torch's Muon, but with a choice of dtype: torch's own always iterates in bfloat16.

    It has Nesterov momentum, and its updates are scaled for the learning rates of AdamW.
    """

    def __init__(self, matrices: list[nn.Parameter], weight_decay: float, dtype: torch.dtype):
        super().__init__(matrices, weight_decay=weight_decay)
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        (group,) = self.param_groups
        for matrix in group["params"]:
            if matrix.grad is not None:
                self.update(matrix, matrix.grad, group)

    def update(self, matrix: nn.Parameter, gradient: Tensor, group: dict) -> None:
        """One step of a matrix [rows, columns]. group: the optimizer's settings."""
        momentum = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix))
        momentum.lerp_(gradient, 1 - group["momentum"])
        direction = gradient.lerp(momentum, group["momentum"])
        orthogonal = orthogonalise(direction.to(self.dtype), group["ns_coefficients"], group["ns_steps"], group["eps"])
        matrix.mul_(1 - group["lr"] * group["weight_decay"])
        matrix.add_(orthogonal, alpha=-0.2 * max(matrix.shape) ** 0.5 * group["lr"])


@dataclass(frozen=True)
class Optimizers:
    """Muon (Jordan 2024) for the matrices and convolutions inside a network, AdamW for all other parameters.

    Muon takes matrices only: ``matrices`` are flat views of ``weights``.
    """

    adam: torch.optim.AdamW
    muon: Muon
    matrices: list[nn.Parameter]
    weights: list[Tensor]

    @classmethod
    def of(cls, module: nn.Module, weight_decay: float, dtype: torch.dtype) -> Optimizers:
        """For the parameters of a module. dtype: see ``Muon``."""
        weights = [layer.weight for name, layer in module.named_modules()
                   if isinstance(layer, nn.Linear | nn.Conv2d) and not name.endswith(OUTER_LAYERS)]
        matrices = [nn.Parameter(weight.data.flatten(1)) for weight in weights]
        weight_ids = {id(weight) for weight in weights}
        others = [parameter for parameter in module.parameters() if id(parameter) not in weight_ids]
        adam = torch.optim.AdamW(others, betas=(0.9, 0.98), weight_decay=weight_decay)
        return cls(adam, Muon(matrices, weight_decay, dtype), matrices, weights)

    def step(self, learning_rate: float) -> None:
        for matrix, weight in zip(self.matrices, self.weights):
            matrix.grad = None if weight.grad is None else weight.grad.flatten(1)
        for optimizer, factor in ((self.adam, 1), (self.muon, MUON_FACTOR)):
            optimizer.param_groups[0]["lr"] = factor * learning_rate
            optimizer.step()

    def parameters(self) -> list[tuple[torch.optim.Optimizer, Tensor]]:
        """Every parameter with its optimizer, always in the same order."""
        pairs = []
        for optimizer in (self.adam, self.muon):
            pairs += [(optimizer, parameter) for parameter in optimizer.param_groups[0]["params"]]
        return pairs


def run_stage(stage: Stage, module: nn.Module, batch_loss: BatchLoss, folder: Path, device: torch.device) -> nn.Module:
    """Train ``module``, which ends up with the averaged weights.

    batch_loss: returns the loss of a batch that depends only on the given generator, which stage and step seed.
    folder: for the state and the log; an interrupted stage resumes from the last saved step.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / f"{stage.name}.state.safetensors"
    optimizers = Optimizers.of(module, stage.weight_decay, precision(device))
    averaged = AveragedModel(module, multi_avg_fn=get_ema_multi_avg_fn(stage.average), use_buffers=True)
    first = resume(state_file, averaged, optimizers)
    started = time.monotonic()
    for step in range(first, stage.steps):
        loss = train_step(stage, step, module, optimizers, batch_loss, device)
        averaged.update_parameters(module)
        is_last = step + 1 == stage.steps
        if step % LOG_EVERY == 0 or is_last:
            log(folder / f"{stage.name}.jsonl", step, loss, time.monotonic() - started)
        if (step + 1) % stage.save_every == 0 or is_last:
            save(state_file, step + 1, averaged, optimizers)
    module.load_state_dict(averaged.module.state_dict())
    return module.eval()


def faster_attention(device: torch.device) -> AbstractContextManager:
    """Attention as plain matrix products on CPUs that train in bfloat16, where torch's fused attention is slower."""
    if device.type != "cpu" or precision(device) == torch.float32:
        return nullcontext()
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)  # despite its name, for all devices
    return sdpa_kernel(SDPBackend.MATH)


def train_step(stage: Stage, step: int, module: nn.Module, optimizers: Optimizers, batch_loss: BatchLoss,
               device: torch.device) -> Tensor:
    """Update the weights once; returns the loss before the update."""
    rng = random.Random(f"{stage.name}-{stage.seed}-{step}")
    torch.manual_seed(rng.getrandbits(63))
    dtype = precision(device)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32), faster_attention(device):
        loss = batch_loss(rng)
    module.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizers.step(learning_rate(stage, step))
    return loss


def log(path: Path, step: int, loss: Tensor, seconds: float) -> None:
    """Append a line of JSON. seconds: since the stage began or was resumed."""
    line = {"step": step, "loss": round(loss.item(), 6), "seconds": round(seconds, 1)}
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(json.dumps(line) + "\n")


class HasParameters(Protocol):
    def parameters(self) -> list[tuple[torch.optim.Optimizer, Tensor]]:
        """Every parameter with its optimizer, always in the same order."""
        ...


def save(path: Path, step: int, averaged: AveragedModel, optimizers: HasParameters) -> None:
    """Write a safetensors file with averaged and current weights and the optimizers' states. step: the next one."""
    tensors = {f"average.{name}": tensor for name, tensor in averaged.state_dict().items()}
    for i, (optimizer, parameter) in enumerate(optimizers.parameters()):
        tensors[f"weight.{i}"] = parameter.data
        tensors |= {f"state.{i}.{name}": value for name, value in optimizer.state[parameter].items()}
    partial = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial, metadata={"step": str(step)})
    partial.replace(path)


def with_prefix(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, under names without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def resume(path: Path, averaged: AveragedModel, optimizers: HasParameters) -> int:
    """Restore what ``save`` wrote; returns the next step, 0 if there is no file.

    Raises GLMImageError, and restores nothing, if the file is damaged or of other weights.
    """
    if not path.exists():
        return 0
    tensors, metadata = read_tensors(path, str(path))
    expected = {f"average.{name}": tensor.shape for name, tensor in averaged.state_dict().items()}
    expected |= {f"weight.{i}": parameter.shape for i, (_, parameter) in enumerate(optimizers.parameters())}
    other = [name for name, shape in expected.items() if name not in tensors or tensors[name].shape != shape]
    step = metadata.get("step", "")
    if other or not step.isdecimal():
        raise GLMImageError(f"{path}: must be the state of these weights (got another, by its {(*other, 'step')[0]}); "
                            "delete it to start anew")
    averaged.load_state_dict(with_prefix(tensors, "average."))
    for i, (optimizer, parameter) in enumerate(optimizers.parameters()):
        parameter.data.copy_(tensors[f"weight.{i}"])
        optimizer.state[parameter] = with_prefix(tensors, f"state.{i}.")
    return int(step)


def draw_curves(folder: Path, out: Path, values: Sequence[str] = ("loss",), logarithmic: bool = True) -> None:
    """Draw these values of all runs that have a log in ``folder``, one panel per run, as a PNG at ``out``."""
    import matplotlib  # an optional dependency

    matplotlib.use("Agg")
    from matplotlib import pyplot

    logs = sorted(folder.glob("*.jsonl"))
    figure, axes = pyplot.subplots(1, len(logs), figsize=(4 * len(logs), 3), squeeze=False)
    for axis, path in zip(axes[0], logs):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for value in values:
            axis.plot([row["step"] for row in rows], [row[value] for row in rows], linewidth=0.8, label=value)
        axis.set(title=path.stem, xlabel="step", ylabel=", ".join(values),
                 yscale="log" if logarithmic else "linear")
        if len(values) > 1:
            axis.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    pyplot.close(figure)
