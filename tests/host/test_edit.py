"""Edits in a real ComfyUI: the shipped workflows, masks, and the life of the references' keys and values."""

import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from glm_core.pipeline import draw_noise
from tests.host.test_host import (
    cache_node,
    close,
    keep,
    lora_for,
    nodes_of,
    normalised,
    run_and_keep,
    sampler,
    small,
    with_model,
)
from tests.support.servers import PACK, RunFailed

EDITS = ("edit_image", "edit_multi_image", "inpaint", "image_variation")
STEPS = 4
RUNS = 50


def put_picture(server, name: str, width: int, height: int, seed: int, masked: bool = False) -> str:
    """A picture of coloured blobs in the server's input folder; masked: its left half is transparent, which is a mask to ComfyUI."""
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 32, width // 32, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    if masked:
        alpha = Image.new("L", (width, height), 255)
        alpha.paste(0, (0, 0, width // 2, height))
        image.putalpha(alpha)
    image.save(server.inputs / name)
    return name


def edit(server, name: str, pictures: tuple[str, ...], **plan) -> dict:
    """A shipped edit workflow with these pictures, few steps and, unless it keeps the picture's size, a small target."""
    graph = small(name, **plan)
    for node, picture in zip(nodes_of(graph, "LoadImage"), pictures, strict=True):
        node["inputs"]["image"] = picture
    for node in graph.values():
        if "steps" in node["inputs"]:
            node["inputs"]["steps"] = STEPS
    return graph


@pytest.fixture(scope="module")
def pictures(server):
    return (put_picture(server, "one.png", 544, 512, 1), put_picture(server, "two.png", 512, 640, 2))


@pytest.fixture(scope="module")
def edited(server, pictures):
    """The workflow with one reference, at the picture's own size."""
    return run_and_keep(server, edit(server, "edit_image", pictures[:1]), "edited")


def test_edit_keeps_the_pictures_size(edited):
    assert edited["image"].shape == (1, 512, 544, 3)
    assert "preview" not in edited


def test_edit_workflow_gives_the_command_lines_plan_and_latent(server, edited, tmp_path):
    graph = edit(server, "edit_image", ("one.png",))
    settings, noise = nodes_of(graph, "GLMImagePlan")[0]["inputs"], nodes_of(graph, "KSampler")[0]["inputs"]["seed"]
    prompt = nodes_of(graph, "PrimitiveStringMultiline")[0]["inputs"]["value"]
    assert settings["seed"] == noise
    subprocess.run(
        [sys.executable, "-m", "glm_core", "generate", "--model", server.models, "--prompt", prompt, "--width", "544", "--height", "512",
         "--image", server.inputs / "one.png", "--steps", str(STEPS), "--seed", str(noise), "--out", tmp_path / "a.png",
         "--plan-out", tmp_path / "plan.safetensors", "--latent-out", tmp_path / "latent.safetensors"],
        check=True, cwd=PACK, capture_output=True)
    assert torch.equal(load_file(tmp_path / "plan.safetensors")["ids"], edited["ids"])
    assert (load_file(tmp_path / "latent.safetensors")["latent"] - normalised(edited["latent"])).abs().max() <= 1e-3


def test_two_references_and_their_order(server, pictures):
    one = run_and_keep(server, edit(server, "edit_multi_image", pictures), "two")
    other = run_and_keep(server, edit(server, "edit_multi_image", pictures[::-1]), "two_swapped")
    assert not torch.equal(one["ids"], other["ids"])
    assert (one["latent"] - other["latent"]).abs().max() > 1e-2


def test_references_matter_to_the_decoder_too(server, pictures, edited):
    graph = edit(server, "edit_image", pictures[:1])
    reference = next(key for key, node in graph.items() if node["class_type"] == "GLMImageReference")
    nodes_of(graph, "GLMImageApplyPlan")[0]["inputs"]["positive"] = graph[reference]["inputs"]["conditioning"]
    without = run_and_keep(server, {key: node for key, node in graph.items() if key != reference}, "unseen")
    assert torch.equal(without["ids"], edited["ids"])
    assert (without["latent"] - edited["latent"]).abs().max() > 1e-2


def test_negative_sees_references_only_when_asked(server, pictures, edited):
    """With the same chain on both branches, the switch decides."""
    results = {}
    for asked in (False, True):
        graph = edit(server, "edit_image", pictures[:1])
        reference = next(key for key, node in graph.items() if node["class_type"] == "GLMImageReference")
        apply = nodes_of(graph, "GLMImageApplyPlan")[0]["inputs"]
        graph["negative_reference"] = {"class_type": "GLMImageReference", "inputs": {
            **graph[reference]["inputs"], "conditioning": apply["negative"], "in_negative": asked}}
        apply["negative"] = ["negative_reference", 0]
        results[asked] = run_and_keep(server, graph, f"negative_{asked}")["latent"]
    assert close(results[False], edited["latent"])
    assert (results[True] - edited["latent"]).abs().max() > 1e-3


def test_a_cache_works_on_an_edit(server, pictures, edited):
    """Its two branches have different keys, which a cache that reuses steps must not mix up."""
    graph = edit(server, "edit_image", pictures[:1])
    none, some = (run_and_keep(server, with_model(graph, "cache", cache_node("EasyCache", graph, threshold)), f"edit{threshold}")["latent"]
                  for threshold in (0.0, 3.0))
    assert close(none, edited["latent"])
    assert torch.isfinite(some).all() and not close(some, edited["latent"])


def test_variation_draws_the_pictures_own_plan(server, pictures):
    graph = keep(edit(server, "image_variation", pictures[:1]), "variation", plan=False)
    tokens = next(key for key, node in graph.items() if node["class_type"] == "GLMImageTokenize")
    graph["keep_plan"] = {"class_type": "TestKeepPlan", "inputs": {"plan": [tokens, 0], "name": "variation.plan.safetensors"}}
    server.run(graph)
    assert load_file(server.output / "variation.plan.safetensors")["ids"].shape == (1, 16, 17)
    assert load_file(server.output / "variation.tensors.safetensors")["image"].shape == (1, 512, 544, 3)


def test_mask_edit_keeps_what_is_outside_the_mask(server):
    name = put_picture(server, "masked.png", 576, 512, 5, masked=True)
    graph = edit(server, "inpaint", (name,))
    encode = next(key for key, node in graph.items() if node["class_type"] == "VAEEncode")
    vae = graph[encode]["inputs"]["vae"]
    fit = graph[encode]["inputs"]["pixels"]
    graph["round_trip"] = {"class_type": "VAEDecode", "inputs": {"samples": [encode, 0], "vae": vae}}
    graph["keep_before"] = {"class_type": "TestKeepTensors", "inputs": {
        "name": "before.safetensors", "latent": [encode, 0], "image": ["round_trip", 0]}}
    graph["keep_source"] = {"class_type": "TestKeepTensors", "inputs": {"name": "source.safetensors", "image": fit}}
    after = run_and_keep(server, graph, "inpaint")
    before, source = (load_file(server.output / f"{name}.safetensors") for name in ("before", "source"))
    half, border = 288 // 8, 2
    assert (after["latent"] - before["latent"])[..., half + border:].abs().max() <= 1e-4
    assert (after["latent"] - before["latent"])[..., :half - border].abs().max() > 0.1
    # decoded, what is right of the mask and out of reach of its convolutions differs less than coding itself costs
    out_of_reach = 288 + 128
    change = (after["image"] - before["image"])[:, :, out_of_reach:].abs().mean()
    vae_error = (before["image"] - source["image"])[:, :, out_of_reach:].abs().mean()
    assert change <= vae_error


def test_references_go_with_area_masks_ranges_batches_and_denoise(server, pictures):
    graph = edit(server, "edit_image", pictures[:1], batch_size=2)
    apply = next(key for key, node in graph.items() if node["class_type"] == "GLMImageApplyPlan")
    graph["area"] = {"class_type": "ConditioningSetArea", "inputs": {
        "conditioning": [apply, 0], "width": 256, "height": 256, "x": 64, "y": 0, "strength": 1.0}}
    graph["mask"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": 544, "height": 512}}
    graph["masked"] = {"class_type": "ConditioningSetMask", "inputs": {
        "conditioning": ["area", 0], "mask": ["mask", 0], "strength": 0.5, "set_cond_area": "default"}}
    graph["late"] = {"class_type": "ConditioningSetTimestepRange", "inputs": {"conditioning": ["masked", 0], "start": 0.5, "end": 1.0}}
    graph["both"] = {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": [apply, 0], "conditioning_2": ["late", 0]}}
    main = sampler(graph)
    graph[main]["inputs"]["positive"] = ["both", 0]
    graph["differential"] = {"class_type": "DifferentialDiffusion", "inputs": {"model": graph[main]["inputs"]["model"], "strength": 1.0}}
    graph["noise_mask"] = {"class_type": "SetLatentNoiseMask", "inputs": {"samples": [main, 0], "mask": ["mask", 0]}}
    graph["again"] = {"class_type": "KSampler", "inputs": {
        **graph[main]["inputs"], "model": ["differential", 0], "latent_image": ["noise_mask", 0], "denoise": 0.5}}
    graph["keep_again"] = {"class_type": "TestKeepTensors", "inputs": {"name": "again.safetensors", "latent": ["again", 0]}}
    kept = run_and_keep(server, graph, "mixed")
    again = load_file(server.output / "again.safetensors")["latent"]
    for latent in (kept["latent"], again):
        assert latent.shape == (2, 16, 64, 68) and latent.isfinite().all()


def count_references(graph: dict, name: str) -> dict:
    """The graph with a model that counts its reference passes under this name."""
    main = graph[sampler(graph)]["inputs"]
    graph["count"] = {"class_type": "TestCountReferences", "inputs": {"model": main["model"], "name": name}}
    main["model"] = ["count", 0]
    return graph


def report_references(server, graph: dict, name: str) -> dict[str, int]:
    """Run once more; the passes of all runs under this name, and how many of their keys and values are still alive."""
    report = {"class_type": "TestReportReferences", "inputs": {"model": ["count", 0], "latent": [sampler(graph), 0], "name": name}}
    server.run({**graph, "report": report})
    return {key: int(value) for key, value in load_file(server.output / f"{name}.count.safetensors").items()}


def test_each_reference_runs_once_and_is_freed(server, pictures):
    """Two pictures, four steps, a batch of two and an area: two passes in all, and nothing left after the run."""
    graph = edit(server, "edit_multi_image", pictures, batch_size=2)
    apply = next(key for key, node in graph.items() if node["class_type"] == "GLMImageApplyPlan")
    graph["area"] = {"class_type": "ConditioningSetArea", "inputs": {
        "conditioning": [apply, 0], "width": 64, "height": 64, "x": 0, "y": 0, "strength": 1.0}}
    graph["both"] = {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": [apply, 0], "conditioning_2": ["area", 0]}}
    graph[sampler(graph)]["inputs"]["positive"] = ["both", 0]
    assert report_references(server, count_references(graph, "once"), "once") == {"passes": 2, "alive": 0}


def test_conditionings_with_different_hooks_have_references_of_their_own(server, models, pictures, edited):
    """One positive under a hooked LoRA, one without: a pass of the picture for each, and a result of its own."""
    lora_for(models, "hook_lora.safetensors")
    graph = edit(server, "edit_image", pictures[:1])
    apply = next(key for key, node in graph.items() if node["class_type"] == "GLMImageApplyPlan")
    graph["hook"] = {"class_type": "CreateHookLora", "inputs": {
        "lora_name": "hook_lora.safetensors", "strength_model": 1.0, "strength_clip": 0.0}}
    graph["hooked"] = {"class_type": "ConditioningSetProperties", "inputs": {
        "cond_NEW": [apply, 0], "strength": 1.0, "set_cond_area": "default", "hooks": ["hook", 0]}}
    graph["both"] = {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": [apply, 0], "conditioning_2": ["hooked", 0]}}
    graph[sampler(graph)]["inputs"]["positive"] = ["both", 0]
    assert (run_and_keep(server, graph, "hooks")["latent"] - edited["latent"]).abs().max() > 1e-2
    assert report_references(server, count_references(graph, "hooks"), "hooks") == {"passes": 2, "alive": 0}


def test_lora_reaches_the_references_and_is_undone(server, models, pictures, edited):
    lora_for(models, "reference_lora.safetensors")
    graph = edit(server, "edit_image", pictures[:1])
    loader = next(key for key, node in graph.items() if node["class_type"] == "GLMImageDiffusionModelLoader")
    graph["lora"] = {"class_type": "LoraLoaderModelOnly", "inputs": {
        "model": [loader, 0], "lora_name": "reference_lora.safetensors", "strength_model": 1.0}}
    nodes_of(graph, "ModelSamplingGLMImage")[0]["inputs"]["model"] = ["lora", 0]
    assert (run_and_keep(server, graph, "edit_lora")["latent"] - edited["latent"]).abs().max() > 1e-2
    graph = edit(server, "edit_image", pictures[:1])
    graph[sampler(graph)]["inputs"]["denoise"] = 0.9999999
    assert close(run_and_keep(server, graph, "edit_lora_undone")["latent"], edited["latent"])


def test_nothing_of_the_cache_is_alive_after_many_runs_half_of_them_cancelled(server, pictures):
    chance = random.Random(0)
    graph = count_references(edit(server, "edit_multi_image", pictures), "many")
    main = sampler(graph)
    cancelled = 0
    for i in range(RUNS):
        graph[main]["inputs"].update(seed=i, steps=40 if i % 2 else STEPS)
        stop_at = chance.randrange(1, 20) if i % 2 else None

        def cancel(message, stop_at=stop_at):
            if stop_at and not isinstance(message, bytes) and message["type"] == "progress" \
                    and message["data"]["node"] == main and message["data"]["value"] >= stop_at:
                server.post("/interrupt")

        try:
            server.run(graph, cancel)
        except RunFailed as failure:
            assert stop_at and failure.details["node_id"] == main
            cancelled += 1
    assert cancelled >= 0.8 * RUNS / 2  # now and then a cancel comes too late
    graph[main]["inputs"].update(seed=RUNS, steps=STEPS)
    assert report_references(server, graph, "many") == {"passes": 2 * (RUNS + 1), "alive": 0}


BAD_INPUTS = {
    "too wide": ((2560, 512), None, "aspect ratios up to 4"),
    "tokens of another picture": ((512, 512), (512, 1024), "tokenize the same image"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_pictures_are_named(server, name):
    size, other, message = BAD_INPUTS[name]
    graph = edit(server, "image_variation" if other is None else "edit_image", (put_picture(server, "bad.png", *size, 3),))
    if other:
        graph["other"] = {"class_type": "LoadImage", "inputs": {"image": put_picture(server, "other.png", *other, 4)}}
        nodes_of(graph, "GLMImageReference")[0]["inputs"]["image"] = ["other", 0]
    with pytest.raises(RunFailed) as failure:
        server.run(graph)
    assert message in failure.value.details["exception_message"]


def test_stock_reference_latent_without_tokens_is_named(server, pictures):
    graph = edit(server, "edit_image", pictures[:1])
    reference = next(key for key, node in graph.items() if node["class_type"] == "GLMImageReference")
    conditioning = graph[reference]["inputs"]["conditioning"]
    graph["encode"] = {"class_type": "VAEEncode", "inputs": {key: graph[reference]["inputs"][name]
                                                            for key, name in (("pixels", "image"), ("vae", "vae"))}}
    graph[reference] = {"class_type": "ReferenceLatent", "inputs": {"conditioning": conditioning, "latent": ["encode", 0]}}
    with pytest.raises(RunFailed) as failure:
        server.run(graph)
    assert "found 1 latents but tokens for 0" in failure.value.details["exception_message"]


def test_batch_of_pictures_goes_with_a_batch_of_plans_only(server, pictures):
    graph = edit(server, "edit_image", pictures[:1], batch_size=2)
    image = next(key for key, node in graph.items() if node["class_type"] == "LoadImage")
    second = put_picture(server, "second.png", 544, 512, 9)
    graph["second"] = {"class_type": "LoadImage", "inputs": {"image": second}}
    graph["batch"] = {"class_type": "ImageBatch", "inputs": {"image1": [image, 0], "image2": ["second", 0]}}
    for class_type in ("GLMImageFitImage", "GLMImageTokenize", "GLMImageReference"):
        nodes_of(graph, class_type)[0]["inputs"]["image"] = ["batch", 0]
    both = run_and_keep(server, graph, "batch_of_pictures")
    assert both["ids"].shape[0] == 2 and both["image"].shape[0] == 2
    nodes_of(graph, "GLMImagePlan")[0]["inputs"]["batch_size"] = 3
    with pytest.raises(RunFailed) as failure:
        server.run(graph)
    assert "found a batch of 2 for 3 plans" in failure.value.details["exception_message"]
    assert draw_noise(0, 2, 544, 512).shape == both["latent"].shape
