"""This pack beside transformers and diffusers, in one run on the same random weights.

``python -m tests.benchmarks [--size cpu|full] [--json OUT] [--only SECTION] [--growth]``

Ours and upstream run in turns after a warm-up of each, with the same number of tokens and steps, the same type (float32
on a CPU, bfloat16 on a GPU) and the released sampling settings; figures are medians. Machines are noisy: compare the
ratios, which are ours ÷ upstream. The full size has the released config and wants a GPU of 48 GB or more.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import transformers

from glm_core.pipeline import Compute

from .decoder import dit_measures, vae_measures
from .growth import growth_tables
from .lookahead import lookahead_measures
from .models import release
from .planner import planner_measures
from .report import Measure, Note, heading, line, machine, write_json
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
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all figures to this file")
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


def measure_sections(names: list[str] | tuple[str, ...], size: Size, compute: Compute) -> dict:
    """Print the table, then the notes; all of it as it goes to JSON."""
    speeds = {"copy bandwidth": copy_bandwidth(size, compute), "matrix rate": matrix_rate(size, compute)}
    bandwidth, rate = speeds["copy bandwidth"] / 1e9, speeds["matrix rate"] / 1e12
    print(f"copy bandwidth {bandwidth:.1f} GB/s, matrix rate {rate:.3f} TFLOP/s")
    print(heading(("", "ours", "upstream", "unit", "ratio", "target")), flush=True)
    notes, rows, took = [], [], {}
    for name in names:
        start = time.perf_counter()
        for measure in measures(name, size, compute, speeds, notes.append):
            rows.append(measure.as_json(size.has_targets))
            print(line(measure.cells(size.has_targets)), flush=True)
        release()
        took[name] = time.perf_counter() - start
    print("", *notes, "took " + ", ".join(f"{name} {spent:.0f} s" for name, spent in took.items()), sep="\n")
    return {"speeds": speeds, "measures": rows, "notes": notes, "took": took}


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
    if args.growth:
        results = {"growth": list(growth_tables(size, compute))}
    else:
        results = measure_sections(args.only or SECTIONS, size, compute)
    if args.json:
        write_json(args.json, {**facts, **results})
    return 0


if __name__ == "__main__":
    sys.exit(main())
