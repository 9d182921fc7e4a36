"""This decoder beside another checkout's: ``python -m tests.benchmarks.decoder_change CHECKOUT [--repeats 15]``.

Prints the bytes that a forward at the released size moves outside matrix products and attention, counted on tensors
without storage, and times of small steps, in which the two decoders take turns.
"""

import argparse
import importlib
import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

import torch
from torch import Tensor

import glm_core
from tests.support.compute import CPU
from tests.support.traffic import Traffic

from .references import SIZES
from .timing import compare_times, timed

GLYPHS = 20
STEPS = ((256, torch.float32), (512, torch.float32), (256, torch.bfloat16))  # picture sides and types


def load_pack(checkout: Path) -> ModuleType:
    """Another checkout's glm_core, under a name of its own; the pack's imports are relative."""
    name, folder = "other_glm_core", checkout / "glm_core"
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py",
                                                  submodule_search_locations=[str(folder)])
    assert spec and spec.loader
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_network(pack: ModuleType, size: str, device: str, dtype: torch.dtype) -> torch.nn.Module:
    decoder, ops = (importlib.import_module(f"{pack.__name__}.{name}") for name in ("decoder", "ops"))
    config = decoder.DiTConfig(**vars(SIZES[size][0]))
    return decoder.GLMImageDiT(config, device=device, dtype=dtype, operations=ops)


def make_inputs(network: torch.nn.Module, side: int, device: str, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Latent, timestep, glyph embeddings and plan of a picture of ``side`` x ``side`` pixels."""
    generator = torch.Generator().manual_seed(0)
    x, context = (torch.randn(shape, generator=generator, dtype=dtype).to(device)
                  for shape in ((1, 16, side // 8, side // 8), (1, GLYPHS, network.config.text_embed_dim)))
    return x, torch.tensor([500.0], device=device), context, torch.zeros(1, 1, side // 8, side // 8, device=device,
                                                                         dtype=torch.int64)


def flash(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The output of attention that stores no scores."""
    return q.new_empty(q.shape[0], q.shape[2], q.shape[1], q.shape[3]).transpose(1, 2)


@torch.no_grad()
def bytes_moved(pack: ModuleType, side: int) -> int:
    """By a forward at the released size."""
    network = make_network(pack, "full", "meta", torch.bfloat16)
    with patch("torch.nn.functional.scaled_dot_product_attention", flash), Traffic() as traffic:
        network(*make_inputs(network, side, "meta", torch.bfloat16))
    return traffic.moved


def make_steps(packs: tuple[ModuleType, ...], side: int, dtype: torch.dtype) -> list[Callable[[], Tensor]]:
    """A step of each decoder, on the same weights and inputs."""
    networks = [make_network(pack, "cpu", "cpu", dtype) for pack in packs]
    for parameter in networks[0].parameters():
        parameter.data.normal_(std=0.02)
    networks[1].load_state_dict(networks[0].state_dict())
    inputs = make_inputs(networks[0], side, "cpu", dtype)
    return [partial(network, *inputs) for network in networks]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    packs = glm_core, load_pack(options.checkout)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("| | this | other | ratio |", "|---|---|---|---|", sep="\n")
    for side in (512, 1024, 2048):
        ours, other = (bytes_moved(pack, side) / 1e9 for pack in packs)
        print(f"| GB moved, {side}², 30 layers, bfloat16 | {ours:.1f} | {other:.1f} | {ours / other:.2f} |")
    for side, dtype in STEPS:
        steps = make_steps(packs, side, dtype)
        with torch.no_grad():
            difference = (steps[0]() - steps[1]()).abs().max()
        ours, other = compare_times(*(timed(step, CPU.device) for step in steps), options.repeats)
        print(f"| seconds, {side}², 6 layers, {dtype} (apart by {difference:.1e}) | {ours:.4f} | {other:.4f} "
              f"| {ours / other:.2f} |", flush=True)


if __name__ == "__main__":
    main()
