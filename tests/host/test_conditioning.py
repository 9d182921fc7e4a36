"""GLM-Image Conditioning, Apply Plan and Select Plan: which prompt, plan and latent meet."""

import pytest
import torch

from tests.host.graphs import (
    PROMPT,
    SAMPLERS,
    error_message,
    id_of,
    inputs_of,
    is_close,
    largest_difference,
    load_saved,
    make_node,
    run_and_load,
    save_plan,
    small_workflow,
    with_apply_plan,
    with_own_images,
)

BATCH = 4
FORGOTTEN = "made with reference images"  # in the log


def test_conditioning_encodes_the_plans_own_prompt(server, text_to_image):
    """Apply Plan with the plan's prompt in CLIP Text Encode gives the same; without quoted text it does not."""
    graph = with_apply_plan(small_workflow("text_to_image"))
    assert is_close(run_and_load(server, graph, "apply")["latent"], text_to_image["latent"])
    graph["texts"]["inputs"]["text"] = PROMPT.replace('"', "")
    assert largest_difference(run_and_load(server, graph, "no_quotes")["latent"], text_to_image["latent"]) > 1e-3


def test_a_prompt_replaces_the_plans_own(server, text_to_image):
    graph = small_workflow("text_to_image")
    graph["prompt"] = make_node("PrimitiveString", value='"SHUT"')
    inputs_of(graph, "GLMImageConditioning")["prompt"] = ["prompt", 0]
    other = run_and_load(server, graph, "other_prompt")
    assert torch.equal(other["ids"], text_to_image["ids"])
    assert largest_difference(other["latent"], text_to_image["latent"]) > 1e-3
    graph["prompt"]["inputs"]["value"] = PROMPT
    assert is_close(run_and_load(server, graph, "same_prompt")["latent"], text_to_image["latent"])


def test_a_draft_is_not_taken_for_an_edit(server):
    """Neither has a preview grid, but a draft never had references."""
    graph = small_workflow("text_to_image")
    draft = graph[id_of(graph, "GLMImagePlan")]
    settings = {name: value for name, value in draft["inputs"].items() if name not in ("batch_size", "look_ahead")}
    draft |= make_node("GLMImageDraftPlan", **settings, count=1)
    before = server.log.read_text().count(FORGOTTEN)
    server.run(graph)
    assert server.log.read_text().count(FORGOTTEN) == before


def test_a_plan_without_a_prompt_of_its_own_is_named(server):
    graph = with_own_images(small_workflow("image_variation"), "example.png")
    del inputs_of(graph, "GLMImageConditioning")["prompt"]
    graph[id_of(graph, "LoadImage")] = make_node("EmptyImage", width=512, height=512, batch_size=1, color=0)
    message = error_message(server, graph)
    assert "does not come from a known prompt" in message and "connect prompt" in message


def test_the_negative_may_be_left_out(server, text_to_image):
    graph = with_apply_plan(small_workflow("text_to_image"))
    del inputs_of(graph, "GLMImageApplyPlan")["negative"]
    without = run_and_load(server, graph, "no_negative")
    assert largest_difference(without["latent"], text_to_image["latent"]) > 1e-3


def test_zeroed_out_conditioning_is_a_negative_without_plan(server):
    """ConditioningZeroOut keeps the plan's key; the model must drop it all the same."""
    graph = with_apply_plan(small_workflow("text_to_image"))
    inputs_of(graph, *SAMPLERS)["negative"] = ["zero", 0]
    with_plan = make_node("ConditioningZeroOut", conditioning=[id_of(graph, "GLMImageApplyPlan"), 0])
    with_text = make_node("ConditioningZeroOut", conditioning=["texts", 0])
    first = run_and_load(server, graph | {"zero": with_plan}, "zero_plan")
    second = run_and_load(server, graph | {"zero": with_text}, "zero_text")
    assert is_close(first["latent"], second["latent"])


@pytest.fixture(scope="module")
def batch(server):
    """Plans, latents and images of a batch."""
    return run_and_load(server, small_workflow("text_to_image", batch_size=BATCH), "batch_of_plans")


def part_of_batch(class_type: str, **inputs) -> dict:
    """A batch of plans, and a node that gives the sampler some of their latents."""
    graph = small_workflow("text_to_image", batch_size=BATCH)
    empty = id_of(graph, "EmptyGLMImageLatent")
    inputs_of(graph, *SAMPLERS)["latent_image"] = ["part", 0]
    return graph | {"part": make_node(class_type, **{name: [empty, 0] if link == "latent" else link
                                                     for name, link in inputs.items()})}


@pytest.mark.parametrize("part, found", [
    (part_of_batch("LatentFromBatch", samples="latent", batch_index=1, length=1), "1"),
    (part_of_batch("LatentFromBatch", samples="latent", batch_index=1, length=2), "1 or 2"),
    (part_of_batch("RebatchLatents", latents="latent", batch_size=1), "1"),
    (part_of_batch("RepeatLatentBatch", samples="latent", amount=2), "1 or 8"),
], ids=["one", "two", "rebatched", "repeated"])
def test_a_batch_of_plans_with_another_batch_of_latents_is_named(server, part, found):
    message = error_message(server, part)
    assert f"plan: the batch size must be {found}, like the latent's (got {BATCH})" in message
    assert "GLM-Image Select Plan" in message


def test_a_selected_plan_and_its_latent_give_the_picture_of_the_batch(server, batch):
    graph = part_of_batch("LatentFromBatch", samples="latent", batch_index=1, length=2)
    plan = [id_of(graph, "GLMImagePlan"), 0]
    graph["select"] = make_node("GLMImageSelectPlan", plan=plan, index=1, count=2)
    inputs_of(graph, "GLMImageConditioning")["plan"] = ["select", 0]
    graph["save_selected"] = save_plan("selected.plan", ["select", 0])
    result, selected = run_and_load(server, graph, "selected"), load_saved(server, "selected.plan")
    assert torch.equal(selected["ids"], batch["ids"][1:3])
    assert torch.equal(selected["preview"], batch["preview"][1:3])
    assert is_close(result["latent"], batch["latent"][1:3])
    assert largest_difference(batch["latent"][1], batch["latent"][0]) > 0.05


def test_one_plan_goes_with_any_batch_of_latents(server, batch):
    graph = part_of_batch("LatentFromBatch", samples="latent", batch_index=0, length=3)
    graph["select"] = make_node("GLMImageSelectPlan", plan=[id_of(graph, "GLMImagePlan"), 0], index=0, count=1)
    inputs_of(graph, "GLMImageConditioning")["plan"] = ["select", 0]
    result = run_and_load(server, graph, "one_plan")
    assert is_close(result["latent"][0], batch["latent"][0])
    assert largest_difference(result["latent"][1], batch["latent"][1]) > 0.05


def test_a_plan_that_the_batch_does_not_have_is_named(server):
    graph = small_workflow("text_to_image", batch_size=2)
    graph["select"] = make_node("GLMImageSelectPlan", plan=[id_of(graph, "GLMImagePlan"), 0], index=2, count=1)
    inputs_of(graph, "GLMImageConditioning")["plan"] = ["select", 0]
    assert "index must be from 0 to 1" in error_message(server, graph)
