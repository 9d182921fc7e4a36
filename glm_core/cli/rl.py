"""rl: reinforcement learning of the planner or the decoder."""

import argparse
from collections.abc import Sequence
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from ..checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from ..errors import GLMImageError
from ..ocr import make_reader
from ..pipeline import Compute, default_side
from ..pipeline.requests import RenderSettings, check_count
from ..rl.flow_grpo import FlowGRPO
from ..rl.held_out import HALVES
from ..rl.nft import NFT
from ..rl.prompts import (
    Prompts,
    check_posters,
    decoder_posters,
    planner_posters,
    read_tasks,
    split_tasks,
    with_plans,
)
from ..rl.rewards import NAMES, OF_POSTERS, QUESTION, WeightedReward, need_pictures, parse_rewards
from ..rl.settings import GRPO, RLSettings
from .files import check_files, check_out_folder
from .options import (
    DTYPES,
    RAY_OPTIONS,
    HelpFormatter,
    Subparsers,
    add_device,
    add_model,
    check_needs,
    check_parts,
    choose_compute,
    pools_of,
    progress_bar,
    report,
)
from .train import check_installed

METHODS = {"flow-grpo": FlowGRPO, "nft": NFT}
METHOD_HELP = {entry.name: entry.metadata["help"] for method in METHODS.values() for entry in fields(method)}
DECODER_DEFAULTS = {"prompts": 5, "average": 0.8}  # where they differ from RLSettings


def add_command(commands: Subparsers) -> None:
    command = commands.add_parser("rl", help="improve the planner or the decoder by rewards (reinforcement learning)",
                                  formatter_class=HelpFormatter)
    parts = command.add_subparsers(dest="part", required=True)
    add_planner(parts)
    add_decoder(parts)


def add_planner(parts: Subparsers) -> None:
    command = parts.add_parser("planner", help="GRPO: draw several plans of each prompt and learn from the better ones",
                               formatter_class=HelpFormatter)
    add_common(command, ["plan=1"], steps=8, guidance=1.5)
    add_fields(command, GRPO)
    add = command.add_argument
    add("--measure-plans", type=int, default=2, metavar="N", help="number of plans for each of these prompts")
    add_ray(command, "plans", "planner")
    command.set_defaults(run=run_planner)


def add_decoder(parts: Subparsers) -> None:
    command = parts.add_parser("decoder", help="Flow-GRPO or DiffusionNFT: draw several pictures of each plan and "
                               "learn from the better ones", formatter_class=HelpFormatter)
    add_common(command, ["letters=1", "truth=1"], steps=4, guidance=1.0)
    add = command.add_argument
    add("--method", choices=METHODS, default="flow-grpo",
        help="flow-grpo learns from random sampling steps, nft (DiffusionNFT) from finished pictures to which noise is "
             "added")
    for name, text in METHOD_HELP.items():
        defaults = {method: settings[name] for method, settings in method_defaults().items() if name in settings}
        shown = ", ".join(f"{method}: {default}" for method, default in defaults.items())
        add(f"--{name}", type=type(next(iter(defaults.values()))), help=f"{text} (default of {shown})")
    add_ray(command, "pictures", "decoder")
    command.set_defaults(run=run_decoder, measure_plans=1, **DECODER_DEFAULTS)


def add_ray(command: argparse.ArgumentParser, what: str, worker: str) -> None:
    """Options of the cluster whose workers draw each batch."""
    add = command.add_argument
    add("--ray", metavar="ADDRESS",
        help=f"generate the {what} of each batch on a Ray cluster, or with 'local' in several processes; the pack, the "
             "model and OUT must have the same paths on all machines. Needs the Python package ray[data]")
    add(f"--{worker}s", type=int, metavar="N", help="with --ray: number of processes (default: 1)")
    add(f"--gpus-per-{worker}", type=float, metavar="N",
        help="with --ray: GPUs for each of them (default: 1, or 0 with --device cpu)")


def add_common(command: argparse.ArgumentParser, rewards: Sequence[str], steps: int, guidance: float) -> None:
    add = command.add_argument
    add_model(command)
    add("--out", type=Path, required=True, metavar="OUT",
        help="folder for the new checkpoint or LoRA and a plot of the rewards; states and logs go to training/ in it. "
             "To resume an interrupted run, give the same command again")
    add("--reward", action="append", metavar="NAME=WEIGHT",
        help=f"reward and its weight, one of {', '.join(NAMES)}; repeat for several (default: {' '.join(rewards)}). "
             "With a URL, every picture is sent there with its prompt")
    add("--question", default=QUESTION, help="question to the judge; {prompt} stands for the prompt")
    add("--tasks", type=Path, metavar="FILE.jsonl",
        help="prompts to train on, in the format of evaluate; every tenth is held out for the figures (default: random "
             "posters, only for the embedded model)")
    add_fields(command, RLSettings)
    add("--lora", type=int, metavar="RANK", help="train LoRAs of this rank instead of all weights")
    add("--steps", type=int, default=steps, help="sampling steps of the pictures that are rewarded")
    add("--guidance", type=float, default=guidance, help="guidance scale of these pictures")
    add("--measure", type=int, default=20, metavar="N",
        help="number of prompts of each kind for the figures before and after")
    add("--measure-steps", type=int, default=12, help="sampling steps of their pictures")
    add("--half", choices=HALVES, default=HALVES[0],
        help="half of the held-out words for these figures: choose settings with one, report figures of the other")
    add("--dtype", choices=("auto", *DTYPES), default="auto",
        help="auto: bfloat16 for LoRAs on a GPU, otherwise float32, which training all weights requires")
    add_device(command)
    command.set_defaults(default_rewards=rewards)


def add_fields(command: argparse.ArgumentParser, settings: Any) -> None:
    """An option for every field."""
    for entry in fields(settings):
        command.add_argument(f"--{entry.name.replace('_', '-')}", type=type(entry.default), default=entry.default,
                             help=entry.metadata["help"])


def values_of(args: argparse.Namespace, settings: Any) -> dict[str, Any]:
    return {entry.name: getattr(args, entry.name) for entry in fields(settings)}


def method_defaults() -> dict[str, dict[str, Any]]:
    return {name: {entry.name: entry.default for entry in fields(method)} for name, method in METHODS.items()}


def decoder_method(args: argparse.Namespace) -> FlowGRPO | NFT:
    """Raises GLMImageError on an option of the other method."""
    given = {name: getattr(args, name) for name in METHOD_HELP if getattr(args, name) is not None}
    own = method_defaults()[args.method]
    for name in given:
        if name not in own:
            raise GLMImageError(f"--{name} must be left out with --method {args.method} (got {given[name]})")
    return METHODS[args.method](**given)


def run_planner(args: argparse.Namespace) -> None:
    method = GRPO(**values_of(args, GRPO))
    check(args)
    from ..rl.run import improve_planner  # needs a later torch than other commands

    rewards = rewards_of(args)
    if args.tasks:
        prompts = split_tasks(read_tasks(args.tasks, default_side(args.model)), args.measure)
    else:
        prompts = planner_posters(args.half, args.measure, edits=not need_pictures(rewards))
    improve_planner(make_run(args, rewards, prompts), method)


def run_decoder(args: argparse.Namespace) -> None:
    method = decoder_method(args)
    method.check_steps(args.steps)
    check(args)
    from ..rl.run import improve_decoder

    rewards = rewards_of(args)
    if not args.tasks:
        improve_decoder(make_run(args, rewards, decoder_posters(args.half, args.measure)), method)
        return
    tasks = read_tasks(args.tasks, default_side(args.model))
    run = make_run(args, rewards, split_tasks(tasks, args.measure))
    run.check_settings(method)  # before plans of another run are taken for its own
    planned = with_plans(tasks, args.model, run.compute, run.states / "plans", progress_bar, args.seed)
    prompts = split_tasks(planned, args.measure)
    improve_decoder(replace(run, source=prompts.source, measured=prompts.measured), method)


def check(args: argparse.Namespace) -> None:
    """Raise GLMImageError on what is certain to fail, before any work."""
    check_needs(args, "ray", tuple(name for name in RAY_OPTIONS if name in args))
    RLSettings(**values_of(args, RLSettings))
    check_out_folder("--out", args.out)
    check_out_folder("--out", args.out / "training")
    for name in ("measure", "measure_plans", "measure_steps"):
        check_count(name.replace("_", "-"), getattr(args, name))
    for steps in (args.steps, args.measure_steps):
        RenderSettings(steps, args.guidance)
    if args.lora is not None:
        check_count("lora", args.lora)
    check_files([], [("--tasks", args.tasks)] if args.tasks else [])
    check_parts(args.model, (PLANNER, GLYPH, DIFFUSION, VAE))
    check_installed("rl")
    compute_of(args)
    if not args.tasks:
        check_posters(args.model)


def compute_of(args: argparse.Namespace) -> Compute:
    """Raises GLMImageError on bfloat16 when all weights are trained: it is too coarse for small updates."""
    wanted = "float32" if args.lora is None and args.dtype == "auto" else args.dtype
    compute = choose_compute(args.device, wanted)
    if args.lora is None and compute.dtype != torch.float32:
        raise GLMImageError(f"--dtype must be float32 without --lora (got {args.dtype})")
    return compute


def rewards_of(args: argparse.Namespace) -> list[WeightedReward]:
    """Raises GLMImageError on a reward that cannot judge the prompts, or that cannot tell pictures of a plan apart."""
    rewards = parse_rewards(args.reward or args.default_rewards, args.question)
    for reward in rewards:
        if args.tasks and reward.name in OF_POSTERS:
            raise GLMImageError(f"--reward must be none of {', '.join(OF_POSTERS)} with --tasks, as they compare with "
                                f"random posters (got {reward.name}); give another, such as --reward words=1")
        if args.part == "decoder" and not reward.reward.needs_pictures:
            raise GLMImageError(f"--reward of the decoder must judge pictures (got {reward.name}, which judges plans)")
    return rewards


def options_of(args: argparse.Namespace, compute: Compute) -> dict[str, Any]:
    """Those that decide what is trained, beside the settings."""
    tasks = sha256(args.tasks.read_bytes()).hexdigest() if args.tasks else None
    return {"tasks": tasks, "steps": args.steps, "guidance": args.guidance, "question": args.question,
            "dtype": str(compute.dtype).removeprefix("torch.")}


def make_run(args: argparse.Namespace, rewards: Sequence[WeightedReward], prompts: Prompts) -> Any:
    """The Run of the options."""
    from ..rl.run import Run

    compute = compute_of(args)
    return Run(args.model, args.out, compute, RLSettings(**values_of(args, RLSettings)),
               rewards, prompts.source, prompts.measured, args.measure_plans, make_reader(), args.lora,
               RenderSettings(args.steps, args.guidance), RenderSettings(args.measure_steps), progress_bar, report,
               options_of(args, compute), pools_of(args, compute) if args.ray else None)
