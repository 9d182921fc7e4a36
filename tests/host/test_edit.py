"""Edits in a real ComfyUI: the shipped workflows, masks, and the life of the references' keys and values."""

import random
from collections.abc import Callable

import pytest
import torch
from PIL import Image

from tests.host.conftest import LORA
from tests.host.graphs import (
    SAMPLERS,
    cache_node,
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
    with_apply_plan,
    with_lora,
    with_model,
    with_own_images,
)
from tests.support.command_line import generate
from tests.support.pictures import blobs
from tests.support.servers import RunFailed

STEPS = 4
FORGOTTEN = "made with reference images, and the decoder gets none"  # in the log
CANCELLED_STEPS = 100
WIDTH, HEIGHT = 160, 128  # of the first picture


def put_picture(server, name: str, width: int, height: int, seed: int) -> str:
    """A picture in the server's input folder; its name."""
    blobs(width, height, seed).save(server.inputs / name)
    return name


def put_masked_picture(server, name: str, width: int, height: int, seed: int) -> str:
    """A picture whose left half is transparent, which is a mask to ComfyUI."""
    alpha = Image.new("L", (width, height), 255)
    alpha.paste(0, (0, 0, width // 2, height))
    image = blobs(width, height, seed)
    image.putalpha(alpha)
    image.save(server.inputs / name)
    return name


def edit(name: str, *pictures: str, **plan) -> dict:
    """A shipped edit workflow with these pictures and few steps; a small target unless it keeps the picture's size."""
    graph = with_own_images(small_workflow(name, **plan), *pictures)
    set_steps(graph, STEPS)
    return graph


@pytest.fixture(scope="module")
def pictures(server):
    return put_picture(server, "one.png", WIDTH, HEIGHT, 1), put_picture(server, "two.png", 128, 192, 2)


@pytest.fixture(scope="module")
def one_reference(pictures) -> Callable[..., dict]:
    """Makes the workflow with one reference; takes inputs of GLM-Image Plan."""
    return lambda **plan: edit("edit_image", pictures[0], **plan)


@pytest.fixture(scope="module")
def edited(server, one_reference):
    """Plan, latent and image of the workflow with one reference, at the picture's own size."""
    return run_and_load(server, one_reference(), "edited")


def test_an_edit_keeps_the_pictures_size(edited):
    assert edited["image"].shape == (1, HEIGHT, WIDTH, 3)


def test_an_edit_has_no_coarse_grid(edited):
    assert "preview" not in edited


def test_an_edit_gives_the_command_lines_plan_and_latent(server, one_reference, edited, tmp_path):
    graph = one_reference()
    seed = inputs_of(graph, "KSampler")["seed"]
    assert inputs_of(graph, "GLMImagePlan")["seed"] == seed
    prompt = inputs_of(graph, "GLMImagePlan")["prompt"]
    expected = generate(tmp_path, "--model", server.models, "--prompt", prompt, "--width", WIDTH, "--height", HEIGHT,
                        "--image", server.inputs / "one.png", "--steps", STEPS, "--seed", seed)
    assert torch.equal(expected["ids"], edited["ids"])
    assert largest_difference(expected["latent"], normalised(edited["latent"])) <= 1e-3


def test_references_go_to_the_planner_in_the_order_of_their_chain(server, pictures, tmp_path):
    graph = edit("edit_multi_image", *pictures)
    plan = inputs_of(graph, "GLMImagePlan")
    sizes = (f"--{side}={plan[side]}" for side in ("width", "height"))
    images = (option for name in pictures for option in ("--image", server.inputs / name))
    expected = generate(tmp_path, "--model", server.models, "--prompt", plan["prompt"], *sizes, *images,
                        "--steps", STEPS, "--seed", plan["seed"])
    assert torch.equal(run_and_load(server, graph, "two_in_order")["ids"], expected["ids"])


def test_the_order_of_two_references_matters(server, pictures):
    first = run_and_load(server, edit("edit_multi_image", *pictures), "two")
    second = run_and_load(server, edit("edit_multi_image", *pictures[::-1]), "two_swapped")
    assert not torch.equal(first["ids"], second["ids"])
    assert largest_difference(first["latent"], second["latent"]) > 1e-2


def test_references_matter_to_the_decoder_too(server, one_reference, edited):
    graph = one_reference()
    del inputs_of(graph, "GLMImageConditioning")["references"]
    before = server.log.read_text().count(FORGOTTEN)
    without = run_and_load(server, graph, "unseen")
    assert server.log.read_text().count(FORGOTTEN) == before + 1
    assert torch.equal(without["ids"], edited["ids"])
    assert largest_difference(without["latent"], edited["latent"]) > 1e-2


def test_apply_plan_attaches_references_too(server, one_reference, edited):
    result = run_and_load(server, with_apply_plan(one_reference()), "edit_apply")
    assert is_close(result["latent"], edited["latent"])


@pytest.fixture(scope="module")
def seen_by_negative(server, one_reference):
    """The latent of the edit whose reference is marked for the negative conditioning."""
    graph = one_reference()
    inputs_of(graph, "GLMImageReference")["in_negative"] = True
    return run_and_load(server, graph, "in_negative")["latent"]


def negative_with_references(graph: dict, in_negative: bool) -> dict:
    """The graph with a negative conditioning that was a positive one, and so has all references attached."""
    inputs_of(graph, "GLMImageReference")["in_negative"] = in_negative
    conditioning = id_of(graph, "GLMImageConditioning")
    inputs = graph[conditioning]["inputs"]
    inputs_of(graph, *SAMPLERS)["negative"] = ["negative", 1]
    return graph | {
        "empty": make_node("GLMImageConditioning", **inputs, prompt=""),
        "negative": make_node("GLMImageApplyPlan", positive=[conditioning, 0], plan=inputs["plan"],
                              negative=["empty", 0]),
    }


def test_the_negative_does_not_see_references(server, one_reference, edited):
    result = run_and_load(server, negative_with_references(one_reference(), False), "negative_blind")
    assert is_close(result["latent"], edited["latent"])


def test_the_negative_sees_references_when_asked(server, one_reference, edited, seen_by_negative):
    result = run_and_load(server, negative_with_references(one_reference(), True), "negative_seeing")
    assert is_close(result["latent"], seen_by_negative)
    assert largest_difference(result["latent"], edited["latent"]) > 1e-3


def test_a_cache_that_reuses_no_step_changes_no_edit(server, one_reference, edited):
    graph = one_reference()
    result = run_and_load(server, with_model(graph, cache_node("EasyCache", graph, 0.0)), "edit_cache_none")
    assert is_close(result["latent"], edited["latent"])


def test_a_cache_that_reuses_steps_does_not_mix_up_the_branches(server, one_reference, edited):
    """The two branches of an edit have different keys."""
    graph = one_reference()
    result = run_and_load(server, with_model(graph, cache_node("EasyCache", graph, 3.0)), "edit_cache_some")
    latent = result["latent"]
    assert torch.isfinite(latent).all() and not is_close(latent, edited["latent"])


def test_a_variation_draws_the_pictures_own_plan(server, pictures):
    graph = edit("image_variation", pictures[0])
    graph["save_plan"] = save_plan("variation.plan", [id_of(graph, "GLMImageTokenize"), 0])
    graph["save_image"] = save_tensors("variation", image=[id_of(graph, "VAEDecode"), 0])
    server.run(graph)
    assert load_saved(server, "variation.plan")["ids"].shape == (1, HEIGHT // 32, WIDTH // 32)
    assert load_saved(server, "variation")["image"].shape == (1, HEIGHT, WIDTH, 3)


def test_inpainting_keeps_what_is_outside_the_mask(server):
    graph = edit("inpaint", put_masked_picture(server, "masked.png", 576, 160, 5))
    encode = id_of(graph, "VAEEncode")
    inputs = graph[encode]["inputs"]
    graph["round_trip"] = make_node("VAEDecode", samples=[encode, 0], vae=inputs["vae"])
    graph["save_before"] = save_tensors("before", latent=[encode, 0], image=["round_trip", 0])
    graph["save_source"] = save_tensors("source", image=inputs["pixels"])
    after = run_and_load(server, graph, "inpaint")
    before, source = load_saved(server, "before"), load_saved(server, "source")
    half, border = 288 // 8, 2
    change = (after["latent"] - before["latent"]).abs()
    assert change[..., half + border:].max() <= 1e-4
    assert change[..., :half - border].max() > 0.1
    # decoded, what is right of the mask and out of reach of its convolutions differs less than coding itself costs
    out_of_reach = 288 + 128
    pixel_change = (after["image"] - before["image"])[:, :, out_of_reach:].abs().mean()
    vae_error = (before["image"] - source["image"])[:, :, out_of_reach:].abs().mean()
    assert pixel_change <= vae_error


def test_references_go_with_areas_masks_ranges_batches_and_denoise(server, one_reference):
    graph = one_reference(batch_size=2)
    conditioning, sampler = id_of(graph, "GLMImageConditioning"), id_of(graph, "KSampler")
    graph |= {
        "mask": make_node("SolidMask", value=1.0, width=WIDTH, height=HEIGHT),
        "area": make_node("ConditioningSetArea", conditioning=[conditioning, 0], width=96, height=64, x=32, y=0,
                          strength=1.0),
        "masked": make_node("ConditioningSetMask", conditioning=["area", 0], mask=["mask", 0], strength=0.5,
                            set_cond_area="default"),
        "late": make_node("ConditioningSetTimestepRange", conditioning=["masked", 0], start=0.5, end=1.0),
        "both": make_node("ConditioningCombine", conditioning_1=[conditioning, 0], conditioning_2=["late", 0]),
    }
    inputs = graph[sampler]["inputs"]
    inputs["positive"] = ["both", 0]
    second_pass = inputs | {"model": ["differential", 0], "latent_image": ["noise_mask", 0], "denoise": 0.5}
    graph |= {
        "differential": make_node("DifferentialDiffusion", model=inputs["model"], strength=1.0),
        "noise_mask": make_node("SetLatentNoiseMask", samples=[sampler, 0], mask=["mask", 0]),
        "again": make_node("KSampler", **second_pass),
        "save_again": save_tensors("again", latent=["again", 0]),
    }
    first = run_and_load(server, graph, "mixed")
    for latent in (first["latent"], load_saved(server, "again")["latent"]):
        assert latent.shape == (2, 16, HEIGHT // 8, WIDTH // 8) and latent.isfinite().all()


def counting_references(graph: dict, name: str) -> dict:
    """The graph with a model that counts its reference passes under this name."""
    inputs = inputs_of(graph, *SAMPLERS)
    counting = make_node("TestCountReferences", model=inputs["model"], name=name)
    inputs["model"] = ["counting", 0]
    return graph | {"counting": counting}


def run_and_count(server, graph: dict, name: str) -> tuple[int, int]:
    """Run once more; the passes of all runs under this name, and how many of their keys and values are still alive."""
    latent = [id_of(graph, *SAMPLERS), 0]
    server.run(graph | {"report": make_node("TestReportReferences", model=["counting", 0], latent=latent, name=name)})
    counts = load_saved(server, f"{name}.count")
    return int(counts["passes"]), int(counts["alive"])


def test_each_reference_runs_once_and_is_freed(server, pictures):
    """Two pictures, four steps, a batch of two and an area: two passes in all, and nothing left after the run."""
    graph = edit("edit_multi_image", *pictures, batch_size=2)
    conditioning = id_of(graph, "GLMImageConditioning")
    area = make_node("ConditioningSetArea", conditioning=[conditioning, 0], width=64, height=64, x=0, y=0, strength=1.0)
    both = make_node("ConditioningCombine", conditioning_1=[conditioning, 0], conditioning_2=["area", 0])
    inputs_of(graph, *SAMPLERS)["positive"] = ["both", 0]
    graph = counting_references(graph | {"area": area, "both": both}, "once")
    assert run_and_count(server, graph, "once") == (2, 0)


def test_conditionings_with_different_hooks_have_references_of_their_own(server, one_reference, edited):
    """One positive under a hooked LoRA, one without: a pass of the picture for each, and a result of its own."""
    graph = one_reference()
    conditioning = id_of(graph, "GLMImageConditioning")
    inputs_of(graph, *SAMPLERS)["positive"] = ["both", 0]
    graph |= {
        "hook": make_node("CreateHookLora", lora_name=LORA, strength_model=1.0, strength_clip=0.0),
        "hooked": make_node("ConditioningSetProperties", cond_NEW=[conditioning, 0], strength=1.0,
                            set_cond_area="default", hooks=["hook", 0]),
        "both": make_node("ConditioningCombine", conditioning_1=[conditioning, 0], conditioning_2=["hooked", 0]),
    }
    assert largest_difference(run_and_load(server, graph, "hooks")["latent"], edited["latent"]) > 1e-2
    assert run_and_count(server, counting_references(graph, "hooks"), "hooks") == (2, 0)


def test_a_lora_reaches_the_references_and_is_undone(server, one_reference, edited):
    changed = run_and_load(server, with_lora(one_reference(), LORA), "edit_lora")
    assert largest_difference(changed["latent"], edited["latent"]) > 1e-2
    undone = run_and_load(server, run_again(one_reference(), 0.9999999), "edit_lora_undone")
    assert is_close(undone["latent"], edited["latent"])


def was_cancelled(server, graph: dict, sampler: str, stop_at: int) -> bool:
    """Run the graph and cancel it at this step of the sampler, which now and then comes too late."""

    def cancel(message):
        if isinstance(message, bytes) or message["type"] != "progress":
            return
        data = message["data"]
        if data["node"] == sampler and data["value"] >= stop_at:
            server.post("/interrupt")

    try:
        server.run(graph, cancel)
    except RunFailed as failure:
        assert failure.details["node_id"] == sampler
        return True
    return False


@pytest.mark.parametrize("runs", [12, pytest.param(50, marks=pytest.mark.long)])
def test_nothing_of_the_references_is_alive_after_many_runs_half_of_them_cancelled(server, pictures, runs):
    chance, cancelled = random.Random(0), 0
    graph = counting_references(edit("edit_multi_image", *pictures), f"many{runs}")
    sampler = id_of(graph, *SAMPLERS)
    inputs = graph[sampler]["inputs"]
    for seed in range(0, runs, 2):
        inputs.update(seed=seed, steps=STEPS)
        server.run(graph)
        inputs.update(seed=seed + 1, steps=CANCELLED_STEPS)
        cancelled += was_cancelled(server, graph, sampler, chance.randrange(1, 20))
    assert cancelled >= 0.8 * runs / 2
    inputs.update(seed=runs, steps=STEPS)
    assert run_and_count(server, graph, f"many{runs}") == (2 * (runs + 1), 0)


def test_a_picture_that_is_too_wide_is_named(server):
    graph = edit("image_variation", put_picture(server, "wide.png", 2560, 512, 3))
    message = error_message(server, graph)
    assert "aspect ratio" in message and "at most 4" in message and "2560x512" in message


def test_a_reference_latent_without_tokens_is_named(server, one_reference):
    """As ComfyUI's own ReferenceLatent makes it."""
    graph = one_reference()
    conditioning, reference = id_of(graph, "GLMImageConditioning"), inputs_of(graph, "GLMImageReference")
    inputs_of(graph, *SAMPLERS)["positive"] = ["latent", 0]
    graph |= {"encode": make_node("VAEEncode", pixels=reference["image"], vae=reference["vae"]),
              "latent": make_node("ReferenceLatent", conditioning=[conditioning, 0], latent=["encode", 0])}
    message = error_message(server, graph)
    assert "reference_latents" in message and "GLM-Image Reference" in message


@pytest.fixture(scope="module")
def batch_of_pictures(server, one_reference) -> Callable[[int], dict]:
    """Makes the workflow with a batch of two pictures as its reference, and this many plans."""
    second = put_picture(server, "second.png", WIDTH, HEIGHT, 9)

    def make(batch_size: int) -> dict:
        graph = one_reference(batch_size=batch_size)
        first = [id_of(graph, "LoadImage"), 0]
        inputs_of(graph, "GLMImageReference")["image"] = ["batch", 0]
        return graph | {"second": make_node("LoadImage", image=second),
                        "batch": make_node("ImageBatch", image1=first, image2=["second", 0])}

    return make


def test_a_batch_of_pictures_goes_with_as_many_plans(server, batch_of_pictures):
    both = run_and_load(server, batch_of_pictures(2), "batch_of_pictures")
    assert both["ids"].shape[0] == 2 and both["image"].shape[0] == 2
    assert both["latent"].shape == (2, 16, HEIGHT // 8, WIDTH // 8)


def test_a_batch_of_pictures_with_another_number_of_plans_is_named(server, batch_of_pictures):
    message = error_message(server, batch_of_pictures(3))
    assert "batch" in message and "3" in message and "2" in message
