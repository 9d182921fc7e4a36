"""What reference pictures cost a sampling step: ``python -m tests.benchmarks.references [--device cuda] [--size cpu|full]``.

Prints, for 1, 2 and 3 references, the time of a step with kept keys and values and with keys and values computed anew in
every step, as ratios to a step without references, all in one run; and the bytes that are kept. Random weights.
"""

import argparse
import statistics
import time

import torch

from glm_core import ops
from glm_core.decoder import DiTConfig, GLMImageDiT
from glm_core.plans import prior_map

SIZES = {  # target and reference grids in tokens of 32 pixels
    "cpu": (DiTConfig(num_layers=6, num_attention_heads=8, attention_head_dim=64, text_embed_dim=1472, time_embed_dim=512,
                      condition_dim=256, prior_vq_quantizer_codebook_size=16384), 16),
    "full": (DiTConfig(num_layers=30, num_attention_heads=32, attention_head_dim=128, text_embed_dim=1472, time_embed_dim=512,
                       condition_dim=256, prior_vq_quantizer_codebook_size=16384), 32),
}


def random_model(config: DiTConfig, device, dtype) -> GLMImageDiT:
    with torch.device(device):
        model = GLMImageDiT(config, dtype=dtype, operations=ops)
    for parameter in model.parameters():
        parameter.data.normal_(std=0.02)
    return model


def seconds(step, device: str, repeats: int) -> float:
    """Median of ``repeats`` runs after one to warm up."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        step()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


@torch.inference_mode()
def measure(size: str, device: str, repeats: int) -> None:
    config, tokens = SIZES[size]
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    model = random_model(config, device, dtype)
    side = 4 * tokens
    latent = torch.randn(1, 16, side, side, device=device, dtype=dtype)
    prior = prior_map(torch.randint(0, 16384, (1, tokens, tokens)), side, side).to(device)
    timestep, context = torch.tensor([500.0], device=device), torch.randn(1, 16, 1472, device=device, dtype=dtype)

    def step(references):
        return model(latent, timestep, context, prior, references=references)

    def anew(count):
        return step([list(model.reference_keys_values(latent, prior)) for _ in range(count)])

    plain = seconds(lambda: step([]), device, repeats)
    print(f"{size}, {device}, torch {torch.__version__}, target and references of {32 * tokens} pixels: {plain:.3f} s a step without")
    print("| references | kept: step ÷ step without | computed anew: ÷ without | anew ÷ kept | bytes kept |\n|---|---|---|---|---|")
    for count in (1, 2, 3):
        kept = [list(model.reference_keys_values(latent, prior)) for _ in range(count)]
        size_kept = sum(tensor.nbytes for layers in kept for pair in layers for tensor in pair)
        cached = seconds(lambda kept=kept: step(kept), device, repeats)
        computed = seconds(lambda count=count: anew(count), device, repeats)
        print(f"| {count} | {cached / plain:.2f} | {computed / plain:.2f} | {computed / cached:.2f} | {size_kept:,} |")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--size", choices=SIZES, default="cpu")
    arguments.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    arguments.add_argument("--repeats", type=int, default=7)
    options = arguments.parse_args()
    measure(options.size, options.device, options.repeats)
