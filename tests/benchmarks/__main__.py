"""This pack beside transformers and diffusers, in one run on the same random weights.

``python -m tests.benchmarks [--size cpu|full] [--json OUT] [--only SECTION] [--growth]``

Ours and upstream run in turns after a warm-up of each, with the same number of tokens and steps, the same type (float32
on a CPU, bfloat16 on a GPU) and the released sampling settings; figures are medians. Machines are noisy: compare the
ratios, which are ours ÷ upstream. The full size has the released config and wants a GPU of 48 GB or more.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
import transformers

from glm_core.pipeline import Compute
from tests.support.json_files import write_json

from .decoder import dit_measures, vae_measures
from .growth import growth_tables
from .lookahead import lookahead_measures
from .models import release
from .planner import planner_measures
from .report import Measure, Note, heading, line, machine
from .sizes import SIZES, Size
from .timing import copy_bandwidth, matrix_rate
from .whole import image_measures, memory_measures

SECTIONS = "planner", "lookahead", "dit", "vae", "image", "memory"


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="cpu",
                        help="cpu, full, or tiny to try the script itself (default: cpu)")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda for the full size)")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file, as they come")
    parser.add_argument("--only", action="append", choices=SECTIONS, metavar="SECTION",
                        help=f"one of {', '.join(SECTIONS)}; repeat for several (default: all)")
    parser.add_argument("--growth", action="store_true",
                        help="times against the area of the picture, instead of the sections")
    return parser.parse_args(argv)


def measures(name: str, size: Size, compute: Compute, speeds: dict[str, float], note: Note) -> Iterator[Measure]:
    """Of one section."""
    sections = {
        "planner": lambda: planner_measures(size, compute, speeds["copy bandwidth"], note),
        "lookahead": lambda: lookahead_measures(size, compute, note),
        "dit": lambda: dit_measures(size, compute, speeds["matrix rate"], note),
        "vae": lambda: vae_measures(size, compute, note),
        "image": lambda: image_measures(size, compute),
        "memory": lambda: memory_measures(size, compute),
    }
    return sections[name]()


def measure_sections(names: list[str] | tuple[str, ...], size: Size, compute: Compute,
                     save: Callable[[dict], object]) -> None:
    """Print the table, then the notes. ``save`` gets all of it as it goes to JSON, after every row."""
    speeds = {"copy bandwidth": copy_bandwidth(size, compute), "matrix rate": matrix_rate(size, compute)}
    bandwidth, rate = speeds["copy bandwidth"] / 1e9, speeds["matrix rate"] / 1e12
    print(f"copy bandwidth {bandwidth:.1f} GB/s, matrix rate {rate:.3f} TFLOP/s")
    print(heading(("", "ours", "upstream", "unit", "ratio", "target")), flush=True)
    notes, rows, took = [], [], {}
    results = {"speeds": speeds, "measures": rows, "notes": notes, "took": took}
    for name in names:
        start = time.perf_counter()
        for measure in measures(name, size, compute, speeds, notes.append):
            rows.append(measure.as_json(size.has_targets))
            print(line(measure.cells(size.has_targets)), flush=True)
            save(results)
        release()
        took[name] = time.perf_counter() - start
        save(results)
    print("", *notes, "took " + ", ".join(f"{name} {spent:.0f} s" for name, spent in took.items()), sep="\n")


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    size = SIZES[args.size]
    device = torch.device(args.device or size.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print(f"error: --size {args.size} wants a GPU, but torch sees none", file=sys.stderr)
        return 1
    compute = Compute(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    transformers.logging.set_verbosity_error()
    facts = {"size": args.size, **machine(compute)}
    print(*(f"{name} {value}" for name, value in facts.items()), sep=", ")

    def save(results: dict) -> None:
        if args.json:
            write_json(args.json, {**facts, **results})

    if args.growth:
        save({"growth": list(growth_tables(size, compute))})
    else:
        measure_sections(args.only or SECTIONS, size, compute, save)
    return 0


if __name__ == "__main__":
    sys.exit(main())
