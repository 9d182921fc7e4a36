"""The pack in a real ComfyUI, over its own HTTP interface."""

import json
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from glm_core.decoder import draw_noise
from glm_core.evaluation.suites.shapes import seen_kinds
from glm_core.posters import Item
from tests.host.graphs import (
    HEIGHT,
    PROMPT,
    SEED,
    STEPS,
    TINY_FILES,
    WIDTH,
    error_message,
    id_of,
    inputs_of,
    is_close,
    largest_difference,
    load_saved,
    make_node,
    normalised,
    run_again,
    run_and_load,
    save_plan,
    save_tensors,
    set_steps,
    small_workflow,
)
from tests.support.command_line import generate
from tests.support.node_sources import read_nodes
from tests.support.servers import RunFailed, load_workflow, workflow_names

API_WORKFLOWS = workflow_names()
TEXT_TO_IMAGE = ("text_to_image", "custom_sampler")  # fixtures
INTERRUPT_SECONDS = 5
TEXT_MESSAGE = 3  # BinaryEventTypes.TEXT of ComfyUI's protocol.py


@pytest.fixture(scope="module")
def node_info(server) -> dict:
    return server.get("/object_info")


def input_specs(info: dict) -> dict:
    return {name: spec for group in ("required", "optional") for name, spec in info["input"].get(group, {}).items()}


@pytest.mark.parametrize("node", [node.node_id for node in read_nodes()])
def test_every_input_has_a_tooltip(node_info, node):
    without = [name for name, spec in input_specs(node_info[node]).items() if not spec[1].get("tooltip")]
    assert not without, f"{node}: add tooltip= to {', '.join(without)}"


@pytest.mark.parametrize("name", API_WORKFLOWS)
def test_shipped_workflows_have_only_known_nodes_and_inputs(node_info, name):
    for node in load_workflow(name).values():
        assert set(node["inputs"]) <= set(input_specs(node_info[node["class_type"]])), node


@pytest.fixture(scope="module")
def command_line(models, tmp_path_factory):
    """The same prompt, seed and steps through the command line, from the released layout."""
    return generate_poster(models.released, tmp_path_factory.mktemp("command_line"))


def generate_poster(model, folder) -> dict[str, torch.Tensor]:
    return generate(folder, "--model", model, "--prompt", PROMPT, "--width", WIDTH, "--height", HEIGHT,
                    "--steps", STEPS, "--seed", SEED)


@pytest.mark.parametrize("name", TEXT_TO_IMAGE)
def test_a_workflow_gives_the_command_lines_plan_and_latent(server, request, command_line, name):
    result = request.getfixturevalue(name)
    assert torch.equal(result["ids"], command_line["ids"])
    assert torch.equal(result["preview"], command_line["preview"])
    latent = normalised(result["latent"])
    assert largest_difference(latent, command_line["latent"]) <= 1e-3
    assert latent.std() > 0.5


@pytest.mark.parametrize("steps", [6, pytest.param(None, id="all", marks=pytest.mark.long)])
@pytest.mark.parametrize("name, wanted", [
    ("text_to_image",
     [Item("red", ("bottom", "left"), kind="circle"), Item("purple", ("bottom", "right"), kind="diamond")]),
    ("text_to_image_custom_sampler",
     [Item("yellow", ("top", "left"), kind="triangle"), Item("orange", ("bottom", "centre"), kind="square")]),
])
def test_a_workflow_draws_its_poster_right_after_installation(server, name, wanted, steps):
    graph = load_workflow(name)
    if steps:
        set_steps(graph, steps)
    result = run_and_load(server, graph, f"shipped_{name}")
    pixels = (result["image"][0] * 255).round().byte().numpy()
    assert pixels.shape == (256, 256, 3)
    assert seen_kinds(pixels, wanted) == [shape.kind for shape in wanted]


def test_ksampler_equals_the_official_schedule(text_to_image, custom_sampler):
    assert largest_difference(normalised(text_to_image["latent"]), normalised(custom_sampler["latent"])) <= 1e-4


def test_the_picture_has_the_plans_size(text_to_image):
    picture = text_to_image["image"]
    assert picture.shape == (1, HEIGHT, WIDTH, 3)
    assert picture.std() > 0.02


def test_given_noise_gives_the_command_lines_latent(server, models, text_to_image, tmp_path):
    noise_file = tmp_path / "noise.safetensors"
    save_file({"noise": draw_noise(123, 1, WIDTH, HEIGHT)}, noise_file)
    graph = small_workflow("text_to_image_custom_sampler")
    graph[id_of(graph, "RandomNoise")] = make_node("TestReadNoise", path=str(noise_file))
    result = run_and_load(server, graph, "noise")
    expected = generate(tmp_path, "--model", models.folder, "--prompt", PROMPT, "--steps", STEPS,
                        "--plan-in", server.output / "noise.plan.safetensors", "--noise-in", noise_file)
    assert largest_difference(normalised(result["latent"]), expected["latent"]) <= 1e-3
    assert largest_difference(result["latent"], text_to_image["latent"]) > 0.1


@pytest.mark.parametrize("folder", ["GLM-Image", "zai-org/GLM-Image (Hugging Face cache)"])
def test_the_folder_loader_gives_what_the_single_files_give(folder, server, text_to_image):
    slots = {"GLMImageDiffusionModelLoader": 0, "GLMImagePlannerLoader": 1, "GLMImageGlyphEncoderLoader": 2,
             "GLMImageVAELoader": 3}
    graph = small_workflow("text_to_image")
    loaders = {key: slots[node["class_type"]] for key, node in graph.items() if node["class_type"] in slots}
    for node in graph.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in loaders:
                node["inputs"][name] = ["folder", loaders[value[0]]]
    others = {key: node for key, node in graph.items() if key not in loaders}
    loader = make_node("GLMImageFolderLoader", folder=folder, weight_dtype="default", quotes="natural")
    result = run_and_load(server, others | {"folder": loader}, "folder")
    assert is_close(result["latent"], text_to_image["latent"])


def quantised_workflow(name: str, keys: tuple[str, ...] = ("planner_name", "model_name")) -> dict:
    graph = small_workflow("text_to_image")
    for node in graph.values():
        for key in keys:
            if key in node["inputs"]:
                node["inputs"][key] = TINY_FILES[key].replace(".safetensors", f"_{name}.safetensors")
    return graph


def test_quantised_files_give_what_their_restored_weights_give(server, models, text_to_image, tmp_path):
    """ComfyUI computes in its quantised layers; the command line restores the weights when it reads them."""
    result = run_and_load(server, quantised_workflow("fp8"), "fp8")
    for part in (GLYPH, VAE, *(replace(part, file=part.quantised_file("fp8")) for part in (PLANNER, DIFFUSION))):
        (tmp_path / part.file).parent.mkdir(exist_ok=True)
        (tmp_path / part.file).symlink_to(models.folder / part.file)
    restored = generate_poster(tmp_path, tmp_path)
    assert torch.equal(result["ids"], restored["ids"]) and torch.equal(result["preview"], restored["preview"])
    assert largest_difference(normalised(result["latent"]), restored["latent"]) <= 1e-3
    assert largest_difference(result["latent"], text_to_image["latent"]) > 0.01


def knows_int8(server) -> bool:
    return "int8_tensorwise" in (server.host / "comfy" / "quant_ops.py").read_text(encoding="utf-8")


def test_int8_files_are_computed_in_int8(server, text_to_image):
    """Activations are in int8 too, so that many tokens of a random planner change; the decoder's latent is close."""
    if not knows_int8(server):
        pytest.skip("this ComfyUI does not know int8")
    both = run_and_load(server, quantised_workflow("int8"), "int8")
    assert both["ids"].shape == text_to_image["ids"].shape
    assert both["preview"][0, 0, 0] == text_to_image["preview"][0, 0, 0]
    decoder = run_and_load(server, quantised_workflow("int8", ("model_name",)), "int8-decoder")
    assert torch.equal(decoder["ids"], text_to_image["ids"])
    assert 1e-4 < largest_difference(normalised(decoder["latent"]), normalised(text_to_image["latent"])) < 0.1


def test_int8_files_are_refused_where_comfyui_does_not_know_int8(server):
    if knows_int8(server):
        pytest.skip("this ComfyUI knows int8")
    message = error_message(server, quantised_workflow("int8"))
    assert "int8_tensorwise" in message and "this ComfyUI" in message


def test_plans_of_a_batch_do_not_depend_on_their_mates(server):
    together = run_and_load(server, small_workflow("text_to_image", batch_size=3), "batch")
    assert together["image"].shape[0] == 3
    first, second, third = together["ids"]
    assert not torch.equal(first, second) and not torch.equal(second, third) and not torch.equal(first, third)
    for i in range(3):
        alone = run_and_load(server, small_workflow("text_to_image", seed=SEED + i), f"alone{i}")
        assert torch.equal(alone["ids"][0], together["ids"][i])


def test_another_plan_gives_another_picture(server, text_to_image):
    other = run_and_load(server, small_workflow("text_to_image", seed=SEED + 1), "other_plan")
    assert largest_difference(other["latent"], text_to_image["latent"]) > 0.05


@pytest.mark.parametrize("grid, tensor", [("target", "ids"), ("preview", "preview")])
def test_plan_preview_shows_equal_tokens_in_equal_colours(server, text_to_image, grid, tensor):
    graph = small_workflow("text_to_image")
    graph["preview"] = make_node("GLMImagePlanPreview", plan=[id_of(graph, "GLMImagePlan"), 0], grid=grid, cell=4)
    outputs = server.run(graph | {"save": save_tensors("grid", image=["preview", 0])})
    assert outputs["preview"]["images"]
    image, tokens = load_saved(server, "grid")["image"], text_to_image[tensor]
    assert image.shape[1:3] == (4 * tokens.shape[1], 4 * tokens.shape[2])
    are_equal = tokens.flatten()[:, None] == tokens.flatten()
    cells = image[0, ::4, ::4].reshape(-1, 3)
    assert torch.equal((cells[:, None] == cells).all(-1), are_equal)


def progress_of(message, node: str) -> int:
    """How far the node has come, 0 if the message is about something else."""
    if isinstance(message, bytes) or message["type"] != "progress" or message["data"]["node"] != node:
        return 0
    return message["data"]["value"]


def test_planning_can_be_cancelled_and_a_clean_run_follows(server, text_to_image):
    """A plan of 4096 x 2048 pixels has 8192 tokens and a coarse grid: much longer than a cancel takes."""
    graph = small_workflow("text_to_image", width=4096, height=2048, seed=99)
    planner = id_of(graph, "GLMImagePlan")
    progress, cancelled_at = [], []

    def cancel(message):
        if progress_of(message, planner):
            progress.append(progress_of(message, planner))
            if not cancelled_at:
                cancelled_at.append(time.monotonic())
                server.post("/interrupt")

    with pytest.raises(RunFailed) as failure:
        server.run(graph, cancel)
    assert failure.value.details["node_id"] == planner
    assert time.monotonic() - cancelled_at[0] < INTERRUPT_SECONDS
    assert 0 < max(progress) < 8192
    again = run_and_load(server, run_again(small_workflow("text_to_image"), 0.9999998), "after_cancel")
    assert is_close(again["latent"], text_to_image["latent"])


def is_picture(message) -> bool:
    """Of the binary messages, those that are not text on a node."""
    return isinstance(message, bytes) and int.from_bytes(message[:4], "big") != TEXT_MESSAGE


def previews_of(server, **extra) -> list[bytes]:
    """The pictures that the page gets while a plan of 512 x 512 pixels is made."""
    graph = small_workflow("text_to_image", width=512, height=512, seed=7)
    planner = id_of(graph, "GLMImagePlan")
    wanted = "GLMImagePlannerLoader", "GLMImagePlan"
    only_plan = {key: node for key, node in graph.items() if node["class_type"] in wanted}
    only_plan[planner]["inputs"]["temperature"] = 0.9 + len(extra) / 10  # so that ComfyUI does not take it from cache
    previews = []
    server.run(only_plan | {"save": save_plan("preview.plan", [planner, 0])},
               lambda message: previews.append(message) if is_picture(message) else None, **extra)
    return previews


def test_planning_previews_are_at_most_two_a_second(server):
    start = time.monotonic()
    count = len(previews_of(server, preview_method="auto"))
    assert 1 <= count <= 1 + 2 * (time.monotonic() - start)  # the first comes at once


def test_planning_shows_nothing_without_a_preview_method(server):
    """ComfyUI's own default is --preview-method none."""
    assert not previews_of(server)
    assert not previews_of(server, preview_method="none", reason="another plan")


def test_a_latent_of_another_size_than_the_plan_is_named(server):
    graph = small_workflow("text_to_image")
    latent = inputs_of(graph, "EmptyGLMImageLatent")
    del latent["plan"]
    latent["width"] = 128
    message = error_message(server, graph)
    assert "plan" in message and "96x64" in message and "latent" in message and "128x64" in message


def test_another_part_in_the_planner_loader_is_named(server):
    graph = small_workflow("text_to_image")
    inputs_of(graph, "GLMImagePlannerLoader")["planner_name"] = TINY_FILES["encoder_name"]
    message = error_message(server, graph)
    assert "planner" in message and "holds the glyph encoder" in message


def test_a_size_off_the_grid_is_refused(server):
    with pytest.raises(RunFailed) as failure:
        server.run(small_workflow("text_to_image", width=100))
    assert "100" in json.dumps(failure.value.details)
