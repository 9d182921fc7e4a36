"""LoRAs of all tools, through core's loaders, through hooks and through this pack's own loader."""

import copy

import pytest
import torch

from tests.host.branches import Branches
from tests.host.graphs import (
    error_message,
    id_of,
    inputs_of,
    largest_difference,
    load_saved,
    make_node,
    nodes_of,
    run_again,
    run_and_load,
    save_plan,
    small_workflow,
)
from tests.host.in_process.lora_files import STYLES
from tests.host.loras import FOREIGN_LORA, METADATA_ALPHA, PLANNER_LORA, style_file
from tests.support.servers import RunFailed

CLOSE = 1e-5
BYPASS = "LoraLoaderBypassModelOnly"  # not in ComfyUI 0.8


def own_loader(file: str, **inputs) -> dict:
    return make_node("GLMImageLoraLoader", lora_name=file, **{"strength_model": 1.0, "strength_planner": 1.0} | inputs)


def core_loader(class_type: str, file: str) -> dict:
    return make_node(class_type, lora_name=file, strength_model=1.0)


@pytest.fixture(scope="module")
def latents(server):
    """By name: that of every style in every way, and some more, all out of one run."""
    branches = Branches()
    branches.add("lora.none", branches.loader)
    for style in STYLES:
        branches.add_loader(f"lora.core.{style}", core_loader("LoraLoaderModelOnly", style_file(style)))
        branches.add_hook(f"lora.hook.{style}", style_file(style))
        branches.add_loader(f"lora.own.{style}", own_loader(style_file(style)))
    branches.add_loader("lora.own.metadata", own_loader(METADATA_ALPHA))
    branches.add_loader("lora.own.zero", own_loader(style_file("transformer"), strength_model=0.0))
    if BYPASS in server.get("/object_info"):
        branches.add_loader("lora.bypass", core_loader(BYPASS, style_file("transformer")))
    return branches.latents(server)


@pytest.mark.parametrize("way", ["core", "hook", "own"])
@pytest.mark.parametrize("style", STYLES)
def test_every_style_draws_the_same(latents, way, style):
    expected = latents["lora.core.diffusion_model"]
    assert largest_difference(latents[f"lora.{way}.{style}"], expected) <= CLOSE
    assert largest_difference(latents["lora.none"], expected) > 0.1


def test_alpha_in_the_metadata_counts(latents):
    assert largest_difference(latents["lora.own.metadata"], latents["lora.core.diffusion_model"]) <= CLOSE


def test_strength_zero_is_no_lora(latents):
    assert torch.equal(latents["lora.own.zero"], latents["lora.none"])


def test_bypass_draws_the_same(latents):
    """Up to rounding: the product is added to the layer's output, not to its weight."""
    if "lora.bypass" not in latents:
        pytest.skip(f"this ComfyUI has no {BYPASS}")
    assert largest_difference(latents["lora.bypass"], latents["lora.core.diffusion_model"]) <= 1e-3


def with_planner_lora(*strengths: float) -> dict:
    """The shipped workflow with the planner's LoRA once for each strength, one after the other."""
    graph = small_workflow("text_to_image")
    planner = [id_of(graph, "GLMImagePlannerLoader"), 0]
    for i, strength in enumerate(strengths):
        graph[f"lora{i}"] = own_loader(PLANNER_LORA, planner=planner, strength_planner=strength)
        planner = [f"lora{i}", 1]
    inputs_of(graph, "GLMImagePlan")["planner"] = planner
    return graph


def plan_of(server, graph: dict, name: str):
    """Ids of the graph's plan; nothing else of the graph runs."""
    shown = nodes_of(graph, "GLMImagePlanPreview", "SaveImage")
    graph = {key: node for key, node in graph.items() if node not in shown}
    server.run(graph | {"save": save_plan(name, [id_of(graph, "GLMImagePlan"), 0])})
    return load_saved(server, name)["ids"]


def test_a_lora_changes_the_plan_and_is_undone(server, text_to_image):
    expected = text_to_image["ids"]
    assert not torch.equal(plan_of(server, with_planner_lora(1.0), "plan.lora"), expected)
    assert torch.equal(plan_of(server, with_planner_lora(0.0), "plan.zero"), expected)
    again = small_workflow("text_to_image")
    inputs_of(again, "GLMImagePlan")["top_p"] = 0.7500001  # the same plan, but not out of ComfyUI's cache
    assert torch.equal(plan_of(server, again, "plan.undone"), expected)


def test_stacked_loras_add_up(server):
    once, halves = plan_of(server, with_planner_lora(1.0), "plan.once"), with_planner_lora(0.5, 0.5)
    assert torch.equal(plan_of(server, halves, "plan.halves"), once)


def test_a_removed_lora_leaves_the_latent_as_it_was(server, text_to_image):
    graph = small_workflow("text_to_image")
    loader = id_of(graph, "GLMImageDiffusionModelLoader")
    changed = copy.deepcopy(graph) | {"lora": own_loader(style_file("bare"), model=[loader, 0])}
    inputs_of(changed, "ModelSamplingGLMImage")["model"] = ["lora", 0]
    assert largest_difference(run_and_load(server, changed, "own_lora")["latent"], text_to_image["latent"]) > 0.1
    undone = run_and_load(server, run_again(graph, 0.9999999), "own_lora_undone")
    assert largest_difference(undone["latent"], text_to_image["latent"]) <= CLOSE


def test_an_output_without_its_input_says_so(server):
    graph = with_planner_lora(1.0)
    inputs_of(graph, "ModelSamplingGLMImage")["model"] = ["lora0", 0]
    with pytest.raises(RunFailed, match="connect the input model to use this output"):
        server.run(graph)


def test_a_file_of_which_nothing_fits_is_refused(server):
    graph = with_planner_lora(1.0)
    inputs_of(graph, "GLMImageLoraLoader")["lora_name"] = FOREIGN_LORA
    message = error_message(server, graph)
    assert "must have adapters for the planner" in message and "\n" not in message.strip()
