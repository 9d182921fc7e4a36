"""Everything that only a GPU can show, in one command: ``python -m tests.gpu --out DIR [--minutes 9]``.

Parity on the device, real ComfyUI with and without DynamicVRAM, speed and memory at the released size with random
weights. Each part runs in a process of its own and writes as it goes: DIR has results.json, RESULTS.md, and a JSON file
and a log of every part. Run it again on the same DIR to go on with the parts that are not done. Wants torch and
transformers 5.17.0; what needs diffusers 0.42.1 or ComfyUI is skipped, and named, where they are not. Without a GPU the
parts run on the CPU, in a tiny form.
"""

import argparse
import sys
from pathlib import Path

import torch

from tests.support.hosts import find_hosts

from .parts import PARTS, Setting, unpack_wheels
from .report import markdown, summary
from .running import Run, Stopped, stop_on_signals
from .targets import judge_all


def parse(argv: list[str] | None) -> argparse.Namespace:
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--minutes", type=float, default=9, help="time for all parts together (default: 9)")
    parser.add_argument("--only", action="append", choices=names, metavar="PART",
                        help=f"one of {', '.join(names)}; repeat for several (default: all that are not done)")
    parser.add_argument("--comfyui", type=Path, metavar="DIR",
                        help="folder of ComfyUI 0.33 or later (default: the first of COMFYUI_PATH, else ~/ComfyUI)")
    parser.add_argument("--site", type=Path, metavar="DIR",
                        help="folder of wheels, or of unpacked packages, that this Python lacks")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="(default: cuda if there is one)")
    parser.add_argument("--size", choices=("full", "tiny"), help="(default: full on a GPU, tiny on a CPU)")
    return parser.parse_args(argv)


def setting_of(args: argparse.Namespace) -> Setting:
    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    site = unpack_wheels(args.site.resolve(), args.out.resolve() / "site") if args.site else None
    comfyui = args.comfyui or next(iter(find_hosts()), None)
    return Setting(device, args.size or ("full" if device == "cuda" else "tiny"), comfyui, site)


def write_report(run: Run) -> None:
    run.results["targets"] = judge_all(run.results)
    run.save()
    (run.out / "RESULTS.md").write_text(markdown(run.results), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(args.out.resolve(), setting_of(args), PARTS, args.minutes)
    try:
        with stop_on_signals():
            for part in PARTS:
                if part.name in args.only if args.only else not run.is_done(part):
                    run.run(part)
                    write_report(run)
    except Stopped:
        print("stopped", flush=True)
    write_report(run)
    print(summary(run.results))
    return 1 if run.has_failed else 0


if __name__ == "__main__":
    sys.exit(main())
