"""convert: the released folder → one file per part, for ComfyUI or for upload."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from ..checkpoint import (
    DIFFUSION,
    FORMATS,
    PART_NAMES,
    REPOSITORY,
    VAE,
    Converted,
    LayerError,
    Part,
    Target,
    card_lines,
    convert_part,
    find_room,
    find_targets,
    gigabytes,
    prepare,
    publication_files,
    published_size,
    unfinished_files,
    write_publication,
)
from ..errors import GLMImageError
from ..pipeline import latent_colours
from ..pipeline.check import check_tensors
from .files import check_out_folder, same_file_key
from .options import Subparsers, byte_bar, check_parts, report, stored_folder

MOST_NAMED = 3  # matrices in a report
BLOCK = re.compile(r".*?\.\d+\.(.*)\.weight")  # a matrix's name; the group is its kind
EXAMPLES = f"""examples, run in the folder of this pack with ComfyUI's Python:
  hf download {REPOSITORY} --local-dir ../../models/diffusers/GLM-Image
  python -m glm_core convert ../../models/diffusers/GLM-Image ../../models --quantise int8
  python -m glm_core convert {REPOSITORY} --publish GLM-Image-int8 --quantise int8

in ComfyUI's portable version for Windows, PowerShell or cmd:
  ..\\..\\..\\python_embeded\\python.exe -s -m huggingface_hub.cli.hf download {REPOSITORY} --local-dir \
..\\..\\models\\diffusers\\GLM-Image
  ..\\..\\..\\python_embeded\\python.exe -s glm_core convert ..\\..\\models\\diffusers\\GLM-Image ..\\..\\models

After an interruption, give the same command again: finished files of the same weights and options are kept, the
file that was being written is started again, and any other file of the same name is replaced once the new one is
complete."""


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser(
        "convert", help="released folder → one file per part, for ComfyUI's models folder", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add = command.add_argument
    add("folder", type=stored_folder, metavar="FOLDER",
        help=f"the released folder, or {REPOSITORY} if it is in the Hugging Face cache")
    add("out", type=Path, metavar="OUT", nargs="?", help="folder to write to, for instance ComfyUI/models")
    formats = "; ".join(f"{entry.name} ({entry.summary})" for entry in FORMATS.values())
    add("--quantise", choices=FORMATS,
        help=f"store the large matrices of planner and diffusion model in fewer bits, with comfy-kitchen: {formats}")
    add("--part", choices=PART_NAMES, action="append",
        help="convert only this part; may be repeated (default: all four)")
    add("--dry-run", action="store_true",
        help="write nothing; list the files with their sizes, the free space on the disk, and what fits on which card")
    add("--publish", type=Path, metavar="DIR",
        help="instead of OUT: a folder to upload to Hugging Face, with the files, a model card (README.md), SHA256SUMS "
             "and licences. Another run with another format adds files; card and sums are rewritten each time")
    command.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    out, parts = choose_out(args), [PART_NAMES[name] for name in dict.fromkeys(args.part or PART_NAMES)]
    check_out(args.folder, out, "--publish" if args.publish else "OUT", parts)
    check_parts(args.folder, parts)
    targets = find_targets(args.folder, out, args.quantise, parts, check_tensors)
    if args.dry_run:
        report("\n".join([*target_lines(targets, out), *publication_lines(args), *card_report(targets)]))
        return
    prepare(targets)
    colours = find_colours(args.folder, targets)
    with byte_bar("written", sum(target.size for target in targets if not target.finished)) as advance:
        for target in targets:
            report_converted(convert_part(target, advance, colours))
    if args.publish:
        with byte_bar("hashed", published_size(out)) as advance:
            write_publication(out, args.folder, advance)
        report(f"{out}: ready; read README.md in it, then run 'hf upload USER/NAME {out}'")


def choose_out(args: argparse.Namespace) -> Path:
    """The one folder that is given. Raises GLMImageError if there are two or none."""
    if (args.out is None) == (args.publish is None):
        raise GLMImageError(f"convert must have either OUT or --publish DIR (got {'both' if args.out else 'neither'})")
    return args.publish or args.out


def find_colours(folder: Path, targets: Sequence[Target]) -> tuple[float, ...] | None:
    """The colours of latents, if a file that is to be written has them."""
    if all(target.finished or target.part not in (DIFFUSION, VAE) for target in targets):
        return None
    report("the VAE is read first, for the colours of sampling previews")
    try:
        return latent_colours(folder)
    except GLMImageError as error:
        if any(target.part is VAE for target in targets):
            raise
        report(f"without these colours, ComfyUI shows no picture while sampling: {error}")
        return None


def report_converted(converted: Converted) -> None:
    kept = ", kept: it was finished" if converted.kept else ""
    report(f"{converted.path}: {gigabytes(converted.path.stat().st_size)}{kept}")
    if converted.errors:
        report(describe_errors(converted))


def target_lines(targets: Sequence[Target], out: Path) -> list[str]:
    """Every file, what an interrupted run left, and the room on each disk."""
    lines = [f"{target.path}: {gigabytes(target.size)}, {describe_state(target)}" for target in targets]
    sizes = {target.path: target.size for target in targets if not target.finished}
    for left in unfinished_files(sizes):
        lines.append(f"{left}: {gigabytes(left.stat().st_size)}, left by an interrupted run; it is removed first")
    for room in find_room(sizes):
        enough = "enough" if room.needed <= room.free else "too little"
        lines.append(f"disk of {room.folder}: {gigabytes(room.free)} free, {gigabytes(room.needed)} needed "
                     f"({enough})")
    return lines if sizes else [*lines, f"nothing to write: all files are in {out}"]


def describe_state(target: Target) -> str:
    if target.finished:
        return "finished, is kept"
    return "replaces another file" if target.path.exists() else "new"


def publication_lines(args: argparse.Namespace) -> list[str]:
    names = publication_files(args.folder) if args.publish else []
    return [f"{args.publish / name}: {'is rewritten' if (args.publish / name).exists() else 'new'}"
            for name in names]


def card_report(targets: Sequence[Target]) -> list[str]:
    title = "what fits on a card, estimated from sizes alone (the weights, and 2.5 GB for everything else):"
    return [title, *(f"  {line}" for line in card_lines({target.part: target.on_card for target in targets}))]


def describe_errors(converted: Converted) -> str:
    """The relative error of all quantised matrices, of each kind of them, and of the worst ones."""
    errors = converted.errors
    kinds: dict[str, list[LayerError]] = {}
    for name, error in errors.items():
        kinds.setdefault(BLOCK.sub(r"\1", name), []).append(error)
    worst = sorted(errors, key=lambda name: -errors[name].relative)[:MOST_NAMED]
    return "\n".join([
        f"  relative error of the quantised matrices: {LayerError.total(errors.values()).relative:.4f}",
        "  by kind: " + ", ".join(f"{kind} {LayerError.total(each).relative:.4f}" for kind, each in kinds.items()),
        "  largest: " + ", ".join(f"{name.removesuffix('.weight')} {errors[name].relative:.4f}" for name in worst)])


def check_out(folder: Path, out: Path, option: str, parts: Sequence[Part]) -> None:
    """Raise GLMImageError unless the parts can be written to ``out``, which is not where they are read from."""
    check_out_folder(option, out)
    if same_file_key(folder) == same_file_key(out):
        raise GLMImageError(f"{option} {out}: it must be another folder than FOLDER (got the same)")
    for place in dict.fromkeys((out / part.file).parent for part in parts):
        check_out_folder(option, place)
