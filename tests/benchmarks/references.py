"""What reference images cost a sampling step: ``python -m tests.benchmarks.references [--device cuda] [--size full]``.

Prints, for 1, 2 and 3 reference images, the time of a step that has their keys and values and of one that computes them
again, as ratios to a step without references, all in one run; and the bytes of keys and values. Random weights.
"""

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from glm_core import ops
from glm_core.decoder import DiTConfig, GLMImageDiT
from glm_core.pipeline import Compute
from glm_core.plans import prior_map

from .timing import median_seconds

SIZES = {  # target and reference grids in tokens of 32 pixels
    "cpu": (DiTConfig(num_layers=6, num_attention_heads=8, attention_head_dim=64, text_embed_dim=1472,
                      time_embed_dim=512, condition_dim=256, prior_vq_quantizer_codebook_size=16384), 16),
    "full": (DiTConfig(num_layers=30, num_attention_heads=32, attention_head_dim=128, text_embed_dim=1472,
                       time_embed_dim=512, condition_dim=256, prior_vq_quantizer_codebook_size=16384), 32),
}


def random_model(config: DiTConfig, compute: Compute) -> GLMImageDiT:
    with compute.device:
        model = GLMImageDiT(config, dtype=compute.dtype, operations=ops)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.02)
    return model


class Step:
    """A step for a picture of ``tokens`` x ``tokens`` tokens; its reference images are of the same size."""

    def __init__(self, config: DiTConfig, tokens: int, compute: Compute):
        self.model, side = random_model(config, compute), 4 * tokens
        made = {"device": compute.device, "dtype": compute.dtype}
        self.latent = torch.randn(1, 16, side, side, **made)
        self.prior = prior_map(torch.randint(0, 16384, (1, tokens, tokens)), side, side).to(compute.device)
        self.timestep = torch.tensor([500.0], device=compute.device)
        self.context = torch.randn(1, 16, config.text_embed_dim, **made)

    def keys_values(self, count: int) -> list[list[tuple[Tensor, Tensor]]]:
        """Of ``count`` reference images, by image and layer."""
        return [list(self.model.reference_keys_values(self.latent, self.prior)) for _ in range(count)]

    def run(self, references: Sequence = ()) -> Tensor:
        return self.model(self.latent, self.timestep, self.context, self.prior, references=references)


@torch.inference_mode()
def measure(size: str, compute: Compute, repeats: int) -> None:
    config, tokens = SIZES[size]
    step = Step(config, tokens, compute)
    plain = median_seconds(step.run, compute.device, repeats)
    print(f"{size}, {compute.device}, torch {torch.__version__}, target and references of {32 * tokens} pixels: "
          f"{plain:.3f} s a step without references")
    titles = ("reference images", "kept: step ÷ step without", "computed again: step ÷ step without", "again ÷ kept",
              "bytes kept")
    print(f"| {' | '.join(titles)} |", "|---|---|---|---|---|", sep="\n")
    for count in (1, 2, 3):
        kept = step.keys_values(count)
        size_kept = sum(tensor.nbytes for layers in kept for pair in layers for tensor in pair)
        with_kept = median_seconds(lambda kept=kept: step.run(kept), compute.device, repeats)
        again = median_seconds(lambda count=count: step.run(step.keys_values(count)), compute.device, repeats)
        print(f"| {count} | {with_kept / plain:.2f} | {again / plain:.2f} | {again / with_kept:.2f} | {size_kept:,} |")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--size", choices=SIZES, default="cpu")
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--repeats", type=int, default=7)
    options = arguments.parse_args()
    dtype = torch.bfloat16 if options.device == "cuda" else torch.float32
    measure(options.size, Compute(torch.device(options.device), dtype), options.repeats)
