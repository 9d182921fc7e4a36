"""Files in every quantised format: drawn by a ComfyUI that knows the format, refused by name by others."""

import functools
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from glm_core.checkpoint import DIFFUSION, FORMATS, PARTS, PLANNER, Part, convert_folder
from tests.host.conftest import decoder_lora
from tests.host.graphs import (
    HEIGHT,
    PROMPT,
    SEED,
    STEPS,
    TINY_FILES,
    WIDTH,
    error_message,
    largest_difference,
    normalised,
    run_and_load,
    small_workflow,
    with_lora,
)
from tests.support.command_line import generate
from tests.support.tiny import WIDE, write_checkpoint

# largest difference between the latent that ComfyUI draws and that of the command line, which restores the weights.
# Integers multiply integers in ComfyUI: there the activations are rounded too.
LARGEST_DIFFERENCES = {"fp8": 1e-4, "nvfp4": 1e-4, "mxfp8": 1e-4, "int8": 0.04, "int8_convrot": 0.03, "w4a8": 0.03,
                       "w4a4": 0.5}
RESTORED = {"fp8", "nvfp4", "mxfp8"}  # what ComfyUI computes with on a CPU
LORA = "wide_lora.safetensors"


@pytest.fixture(scope="session")
def wide(tmp_path_factory):
    """folder: of all converted files, and a LoRA. drawn, planned: by format, what the command line gives with the
    decoder or the planner in it, and with the other parts as released."""
    folder = tmp_path_factory.mktemp("wide")
    released = write_checkpoint(tmp_path_factory.mktemp("wide_released"), WIDE)
    for name in (None, *FORMATS):
        list(convert_folder(released, folder, name))
    (folder / "loras").mkdir()
    save_file(decoder_lora(rank=4, width=256), folder / "loras" / LORA)
    drawn, planned = ({name: generate_with(folder, name, part, steps, tmp_path_factory.mktemp("drawn"))
                       for name in (None, *FORMATS)} for part, steps in ((DIFFUSION, STEPS), (PLANNER, 1)))
    return SimpleNamespace(folder=folder, drawn=drawn, planned=planned)


def generate_with(files: Path, name: str | None, quantised: Part, steps: int, out: Path) -> dict[str, torch.Tensor]:
    for part in PARTS:
        file = part.quantised_file(name) if name and part is quantised else part.file
        (out / file).parent.mkdir(exist_ok=True)
        (out / file).symlink_to(files / file)
    return generate(out, "--model", out, "--prompt", PROMPT, "--width", WIDTH, "--height", HEIGHT, "--steps", steps,
                    "--seed", SEED)


@pytest.fixture(scope="module")
def linked(server, wide):
    """The files of ``wide``, where the server finds them under wide/."""
    folders = ["loras", *(Path(part.file).parent for part in PARTS)]
    links = {server.models / folder / "wide": wide.folder / folder for folder in folders}
    for link, target in links.items():
        link.symlink_to(target)
    yield wide
    for link in links:
        link.unlink()


def workflow(name: str, *parts) -> dict:
    """The shipped workflow with the files of ``wide``, these parts of it in the format."""
    inputs = {"planner_name": PLANNER, "model_name": DIFFUSION}
    graph = small_workflow("text_to_image")
    for node in graph.values():
        for key in TINY_FILES.keys() & node["inputs"].keys():
            file = Path(node["inputs"][key])
            stem = f"{file.stem}_{name}" if inputs.get(key) in parts else file.stem
            node["inputs"][key] = f"wide/{stem}.safetensors"
    return graph


@pytest.fixture(scope="module")
def decoded(server, linked) -> Callable[[str], dict]:
    """What the server draws with the decoder in a format, drawn once."""
    return functools.cache(lambda name: run_and_load(server, workflow(name, DIFFUSION), f"wide_{name}"))


@pytest.fixture(scope="module")
def plain_with_lora(server, linked) -> dict:
    return run_and_load(server, with_lora(workflow(""), f"wide/{LORA}"), "wide_lora")


def knows(server, name: str) -> bool:
    return f'"{FORMATS[name].comfy_name}"' in (server.host / "comfy" / "quant_ops.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FORMATS)
def test_the_decoder_draws_what_its_restored_weights_draw(server, linked, decoded, name):
    if not knows(server, name):
        assert f"got {FORMATS[name].comfy_name}" in error_message(server, workflow(name, DIFFUSION))
        return
    result, expected = decoded(name), linked.drawn[name]
    assert torch.equal(result["ids"], expected["ids"])
    difference = largest_difference(normalised(result["latent"]), expected["latent"])
    assert difference <= LARGEST_DIFFERENCES[name]
    assert largest_difference(expected["latent"], linked.drawn[None]["latent"]) > 1e-3  # the format changes something


@pytest.mark.parametrize("name", FORMATS)
def test_the_planner_plans(server, linked, name):
    """Token by token as with its restored weights; where activations are rounded, some tokens are others."""
    if not knows(server, name):
        assert f"got {FORMATS[name].comfy_name}" in error_message(server, workflow(name, PLANNER))
        return
    result, expected = run_and_load(server, workflow(name, PLANNER), f"wide_plan_{name}"), linked.planned[name]
    assert result["ids"].shape == expected["ids"].shape and torch.isfinite(result["latent"]).all()
    assert result["ids"].min() >= 0 and result["ids"].max() < WIDE.vocabulary.codes
    assert name not in RESTORED or torch.equal(result["ids"], expected["ids"])


@pytest.mark.parametrize("name", FORMATS)
def test_a_lora_changes_the_decoder_as_it_changes_the_plain_one(server, decoded, plain_with_lora, name):
    if not knows(server, name):
        pytest.skip("this ComfyUI does not know the format")
    quantised = run_and_load(server, with_lora(workflow(name, DIFFUSION), f"wide/{LORA}"), f"lora_{name}")
    effect = largest_difference(quantised["latent"], decoded(name)["latent"])
    assert effect > 0.5 and largest_difference(quantised["latent"], plain_with_lora["latent"]) < 0.75 * effect
