"""What ComfyUI's own nodes save: ``python -m tests.benchmarks.core_nodes COMFYUI [--steps 50] [--repeats 5]``.

Draws the shipped text_to_image workflow with the embedded model on a real server on the CPU, with and without each
node between model and sampler, in turns over seeds of the noise. Prints the sampler's time as a ratio to that without
the node, and how far the pictures are from those without, on average over pixels, of 255.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.host.graphs import id_of, inputs_of, load_saved, make_node, save_tensors
from tests.support.hosts import host_version
from tests.support.servers import Server, load_workflow, serve

CACHE = {"end_percent": 0.95, "start_percent": 0.15, "verbose": False}
SIDE = 256
VARIANTS: dict[str, tuple[str, dict[str, Any]] | None] = {
    "without": None,
    "EasyCache 0.05": ("EasyCache", {**CACHE, "reuse_threshold": 0.05}),
    "EasyCache 0.1": ("EasyCache", {**CACHE, "reuse_threshold": 0.1}),
    "EasyCache 0.2": ("EasyCache", {**CACHE, "reuse_threshold": 0.2}),
    "LazyCache 0.2": ("LazyCache", {**CACHE, "reuse_threshold": 0.2}),
    "CFGOverride 1 from 0.6": ("CFGOverride", {"cfg": 1.0, "start_percent": 0.6, "end_percent": 1.0}),
    "CFGOverride 1 from 0.8": ("CFGOverride", {"cfg": 1.0, "start_percent": 0.8, "end_percent": 1.0}),
}


def make_graph(variant: tuple[str, dict[str, Any]] | None, steps: int, seed: int, name: str) -> dict:
    """The shipped workflow; the node of the variant stands last before the sampler."""
    graph = load_workflow("text_to_image")
    sampler = inputs_of(graph, "KSampler")
    sampler.update(steps=steps, seed=seed)
    if variant:
        graph["node"] = make_node(variant[0], model=sampler["model"], **variant[1])
        sampler["model"] = ["node", 0]
    graph["save"] = save_tensors(name, image=[id_of(graph, "VAEDecode"), 0])
    return graph


def run(server: Server, graph: dict, name: str) -> tuple[float, np.ndarray]:
    """Seconds that the sampler took, and the picture [H, W, 3] in 0...255."""
    sampler, started, took = id_of(graph, "KSampler"), 0.0, 0.0

    def on_message(message: Any) -> None:
        nonlocal started, took
        if isinstance(message, dict) and message["type"] == "executing":
            if started and not took:
                took = time.perf_counter() - started
            if message["data"]["node"] == sampler:
                started = time.perf_counter()

    server.run(graph, on_message)
    return took, load_saved(server, name)["image"][0].numpy() * 255


def measure(server: Server, steps: int, repeats: int) -> None:
    run(server, make_graph(None, 2, 10_000, "warm"), "warm")
    runs: dict[str, list[tuple[float, np.ndarray]]] = {name: [] for name in VARIANTS}
    for seed in range(repeats):
        for name, variant in VARIANTS.items():
            runs[name].append(run(server, make_graph(variant, steps, seed, "picture"), "picture"))
    plain = runs.pop("without")
    print(f"{SIDE}², {steps} steps: without {np.median([took for took, _ in plain]):.2f} s")
    print("| node | time ÷ without | mean difference, of 255 |", "|---|---|---|", sep="\n")
    for name, pairs in runs.items():
        ratio = np.median([took / before for (took, _), (before, _) in zip(pairs, plain, strict=True)])
        apart = np.mean([abs(image - before).mean() for (_, image), (_, before) in zip(pairs, plain, strict=True)])
        print(f"| {name} | {ratio:.2f} | {apart:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comfyui", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serve(options.comfyui, Path(folder), Path(folder)) as server:
        print(f"ComfyUI {host_version(options.comfyui)}, embedded model, CPU")
        measure(server, options.steps, options.repeats)


if __name__ == "__main__":
    main()
