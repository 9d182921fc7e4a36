"""The pack in a real ComfyUI, over its own HTTP interface."""

import json
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from glm_core.checkpoint import DIFFUSION, GLYPH, PLANNER, VAE
from glm_core.decoder import LATENTS_MEAN, LATENTS_STD, resolution_shift
from glm_core.evaluation.suites.shapes import seen_kinds
from glm_core.pipeline import draw_noise
from glm_core.posters import Item
from tests.support.servers import PACK, RunFailed, load_workflow

NODES = {
    "GLMImageDiffusionModelLoader", "GLMImagePlannerLoader", "GLMImageGlyphEncoderLoader", "GLMImageVAELoader", "GLMImageFolderLoader",
    "GLMImagePlan", "GLMImagePlanPreview", "GLMImageApplyPlan", "EmptyGLMImageLatent", "ModelSamplingGLMImage", "GLMImageScheduler",
    "GLMImageFitImage", "GLMImageTokenize", "GLMImageReference",
}
WORKFLOWS = ("text_to_image", "text_to_image_custom_sampler")
ALL_WORKFLOWS = sorted(path.stem for path in (PACK / "workflows" / "api").glob("*.json"))
WIDTH, HEIGHT, STEPS, SEED = 96, 64, 8, 5
PROMPT = "a sign that says \"OPEN\" over a door"
INTERRUPT_SECONDS = 5
DEMO = "embedded (demo)"
TINY = {"planner_name": "glm_image_planner.safetensors", "encoder_name": "glm_image_glyph_encoder.safetensors",
        "model_name": "glm_image_diffusion_model.safetensors", "vae_name": "glm_image_vae.safetensors"}


def nodes_of(graph: dict, class_type: str) -> list[dict]:
    return [node for node in graph.values() if node["class_type"] == class_type]


def small(name: str, **plan) -> dict:
    """A shipped workflow with the tiny model, made small and quick."""
    graph = load_workflow(name)
    for node in graph.values():
        inputs = node["inputs"]
        inputs.update({key: file for key, file in TINY.items() if key in inputs})
        for key, value in {"width": WIDTH, "height": HEIGHT, "steps": STEPS, "value": PROMPT}.items():
            if key in inputs and not isinstance(inputs[key], list):
                inputs[key] = value
        for key in ("seed", "noise_seed"):
            if key in inputs:
                inputs[key] = SEED
    for node in nodes_of(graph, "GLMImagePlan"):
        node["inputs"].update(plan)
    return graph


def sampler(graph: dict) -> str:
    return next(key for key, node in graph.items() if node["class_type"] in ("KSampler", "SamplerCustomAdvanced"))


def keep(graph: dict, name: str, plan: bool = True) -> dict:
    """Also write plan, latent and picture to files of that name."""
    decode = next(key for key, node in graph.items() if node["class_type"] == "VAEDecode")
    extra = {"keep_tensors": {"class_type": "TestKeepTensors", "inputs": {
        "name": f"{name}.tensors.safetensors", "latent": [sampler(graph), 0], "image": [decode, 0]}}}
    if plan:
        planner = next(key for key, node in graph.items() if node["class_type"] == "GLMImagePlan")
        extra["keep_plan"] = {"class_type": "TestKeepPlan", "inputs": {"plan": [planner, 0], "name": f"{name}.plan.safetensors"}}
    return {**graph, **extra}


def run_and_keep(server, graph: dict, name: str) -> dict[str, torch.Tensor]:
    server.run(keep(graph, name))
    return load_file(server.output / f"{name}.tensors.safetensors") | load_file(server.output / f"{name}.plan.safetensors")


@pytest.fixture(scope="module")
def drawn(server):
    """Both shipped workflows, run once: their plan, latent and picture."""
    return {name: run_and_keep(server, small(name), name) for name in WORKFLOWS}


@pytest.fixture(scope="module")
def command_line(models, tmp_path_factory):
    """The same prompt, seed and steps through the command line, from the released layout."""
    return generate(models.released, tmp_path_factory.mktemp("command_line"))


def generate(model, folder) -> dict[str, torch.Tensor]:
    subprocess.run(
        [sys.executable, "-m", "glm_core", "generate", "--model", model, "--prompt", PROMPT, "--width", str(WIDTH),
         "--height", str(HEIGHT), "--steps", str(STEPS), "--seed", str(SEED), "--out", folder / "a.png",
         "--plan-out", folder / "plan.safetensors", "--latent-out", folder / "latent.safetensors"],
        check=True, cwd=PACK, capture_output=True)
    return load_file(folder / "plan.safetensors") | load_file(folder / "latent.safetensors")


def normalised(latent: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (LATENTS_MEAN, LATENTS_STD))
    return (latent - mean) / std


def close(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Equal but for rounding: matrix kernels round by the alignment of weights that were loaded anew."""
    return (first - second).abs().max() <= 1e-3


def test_every_node_is_registered_with_tooltips(server):
    info = server.get("/object_info")
    assert set(info) >= NODES
    for node in NODES:
        for group in ("required", "optional"):
            for name, spec in info[node]["input"].get(group, {}).items():
                assert spec[1].get("tooltip"), f"{node}.{name}"


def test_shipped_workflows_use_only_known_nodes_and_inputs(server):
    info = server.get("/object_info")
    for name in ALL_WORKFLOWS:
        for node in load_workflow(name).values():
            inputs = info[node["class_type"]]["input"]
            known = set(inputs.get("required", {})) | set(inputs.get("optional", {}))
            assert {name.split(".")[0] for name in node["inputs"]} <= known, node  # references.reference0 grows from references


@pytest.mark.parametrize("name", WORKFLOWS)
def test_workflow_gives_the_command_lines_plan_and_latent(drawn, command_line, name):
    assert torch.equal(drawn[name]["ids"], command_line["ids"])
    assert torch.equal(drawn[name]["preview"], command_line["preview"])
    latent = normalised(drawn[name]["latent"])
    assert (latent - command_line["latent"]).abs().max() <= 1e-3
    assert latent.std() > 0.5


@pytest.mark.parametrize("name, wanted", [
    ("text_to_image", [Item("red", ("bottom", "left"), kind="circle"), Item("purple", ("bottom", "right"), kind="diamond")]),
    ("text_to_image_custom_sampler",
     [Item("yellow", ("top", "left"), kind="triangle"), Item("orange", ("bottom", "centre"), kind="square")]),
])
def test_a_workflow_draws_its_poster_right_after_installation(server, name, wanted):
    kept = run_and_keep(server, load_workflow(name), f"shipped_{name}")
    pixels = (kept["image"][0] * 255).round().byte().numpy()
    assert pixels.shape == (256, 256, 3)
    assert seen_kinds(pixels, wanted) == [shape.kind for shape in wanted]


def test_ksampler_equals_the_official_schedule(drawn):
    one, other = (drawn[name] for name in WORKFLOWS)
    assert (normalised(one["latent"]) - normalised(other["latent"])).abs().max() <= 1e-4


def test_picture_has_the_plans_size(drawn):
    picture = drawn["text_to_image"]["image"]
    assert picture.shape == (1, HEIGHT, WIDTH, 3)
    assert picture.std() > 0.02


def test_given_noise_gives_the_command_lines_latent(server, models, drawn, tmp_path):
    noise = draw_noise(123, 1, WIDTH, HEIGHT)
    save_file({"noise": noise}, tmp_path / "noise.safetensors")
    graph = small("text_to_image_custom_sampler")
    nodes_of(graph, "RandomNoise")[0].update(class_type="TestReadNoise", inputs={"path": str(tmp_path / "noise.safetensors")})
    kept = run_and_keep(server, graph, "noise")
    server_plan = server.output / "noise.plan.safetensors"
    subprocess.run(
        [sys.executable, "-m", "glm_core", "generate", "--model", models.folder, "--prompt", PROMPT, "--steps", str(STEPS),
         "--plan-in", server_plan, "--noise-in", tmp_path / "noise.safetensors", "--out", tmp_path / "a.png",
         "--latent-out", tmp_path / "latent.safetensors"], check=True, cwd=PACK, capture_output=True)
    expected = load_file(tmp_path / "latent.safetensors")["latent"]
    assert (normalised(kept["latent"]) - expected).abs().max() <= 1e-3
    assert (kept["latent"] - drawn["text_to_image"]["latent"]).abs().max() > 0.1


def test_folder_loader_gives_what_the_single_files_give(server, drawn):
    graph = small("text_to_image")
    graph["folder"] = {"class_type": "GLMImageFolderLoader",
                       "inputs": {"folder": "GLM-Image", "weight_dtype": "default", "quotes": "natural"}}
    slots = {"GLMImageDiffusionModelLoader": 0, "GLMImagePlannerLoader": 1, "GLMImageGlyphEncoderLoader": 2, "GLMImageVAELoader": 3}
    moved = {key: slots[node["class_type"]] for key, node in graph.items() if node["class_type"] in slots}
    for node in graph.values():
        for key, value in node["inputs"].items():
            if isinstance(value, list) and value[0] in moved:
                node["inputs"][key] = ["folder", moved[value[0]]]
    kept = run_and_keep(server, {key: node for key, node in graph.items() if key not in moved}, "folder")
    assert close(kept["latent"], drawn["text_to_image"]["latent"])


def small_quantised(name: str, keys: tuple[str, ...] = ("planner_name", "model_name")) -> dict:
    graph = small("text_to_image")
    for node in graph.values():
        for key in keys:
            if key in node["inputs"]:
                node["inputs"][key] = TINY[key].replace(".safetensors", f"_{name}.safetensors")
    return graph


@pytest.mark.parametrize("name", ["fp8", "nvfp4"])
def test_quantised_files_give_what_their_restored_weights_give(server, models, drawn, tmp_path, name):
    """By ComfyUI's quantised layers here, by weights that are restored when they are read there."""
    kept = run_and_keep(server, small_quantised(name), name)
    for part in (GLYPH, VAE, *(replace(part, file=part.quantised_file(name)) for part in (PLANNER, DIFFUSION))):
        (tmp_path / part.file).parent.mkdir(exist_ok=True)
        (tmp_path / part.file).symlink_to(models.folder / part.file)
    restored = generate(tmp_path, tmp_path)
    assert torch.equal(kept["ids"], restored["ids"]) and torch.equal(kept["preview"], restored["preview"])
    latent = normalised(kept["latent"])
    assert (latent - restored["latent"]).abs().max() <= 1e-3
    assert (kept["latent"] - drawn["text_to_image"]["latent"]).abs().max() > 0.01


def test_int8_files_are_computed_in_int8_or_refused(server, drawn):
    """Activations are in int8 too, so that many tokens of a random planner change; the decoder's latent is close."""
    if "int8_tensorwise" not in (server.host / "comfy" / "quant_ops.py").read_text(encoding="utf-8"):
        with pytest.raises(RunFailed) as failure:
            server.run(small_quantised("int8"))
        assert "quantised as int8_tensorwise, which this ComfyUI does not know" in failure.value.details["exception_message"]
        return
    plain = drawn["text_to_image"]
    both = run_and_keep(server, small_quantised("int8"), "int8")
    assert both["ids"].shape == plain["ids"].shape and both["preview"][0, 0, 0] == plain["preview"][0, 0, 0]
    decoder = run_and_keep(server, small_quantised("int8", ("model_name",)), "int8-decoder")
    assert torch.equal(decoder["ids"], plain["ids"])
    assert 1e-4 < (normalised(decoder["latent"]) - normalised(plain["latent"])).abs().max() < 0.1


def test_batch_of_three_has_three_plans_that_do_not_depend_on_their_mates(server):
    together = run_and_keep(server, small("text_to_image", batch_size=3), "batch")
    assert together["image"].shape[0] == 3
    first, second, third = together["ids"]
    assert not torch.equal(first, second) and not torch.equal(second, third) and not torch.equal(first, third)
    for i in range(3):
        alone = run_and_keep(server, small("text_to_image", seed=SEED + i), f"alone{i}")
        assert torch.equal(alone["ids"][0], together["ids"][i])


def test_plan_matters_and_negative_without_input_runs(server, drawn):
    other = run_and_keep(server, small("text_to_image", seed=SEED + 1), "other_plan")
    assert (other["latent"] - drawn["text_to_image"]["latent"]).abs().max() > 0.05
    graph = small("text_to_image")
    del nodes_of(graph, "GLMImageApplyPlan")[0]["inputs"]["negative"]
    bare = run_and_keep(server, graph, "no_negative")
    assert (bare["latent"] - drawn["text_to_image"]["latent"]).abs().max() > 1e-3


def test_zeroed_out_conditioning_is_a_negative_without_plan(server):
    """ConditioningZeroOut keeps the plan's key; the model must drop it all the same."""
    graph = small("text_to_image")
    apply = next(key for key, node in graph.items() if node["class_type"] == "GLMImageApplyPlan")
    graph["zero"] = {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": [apply, 0]}}
    graph[sampler(graph)]["inputs"]["negative"] = ["zero", 0]
    with_plan = run_and_keep(server, graph, "zero_plan")
    text = graph[apply]["inputs"]["positive"]
    graph["zero"]["inputs"]["conditioning"] = text
    without = run_and_keep(server, graph, "zero_text")
    assert close(with_plan["latent"], without["latent"])


def test_plan_preview_shows_both_grids(server, drawn):
    graph = small("text_to_image")
    key = next(key for key, node in graph.items() if node["class_type"] == "GLMImagePlanPreview")
    for grid, ids in (("target", "ids"), ("preview", "preview")):
        graph[key]["inputs"].update(grid=grid, cell=4)
        graph["keep_grid"] = {"class_type": "TestKeepTensors", "inputs": {"name": "grid.safetensors", "image": [key, 0]}}
        outputs = server.run(graph)
        assert outputs[key]["images"]
        image = load_file(server.output / "grid.safetensors")["image"]
        tokens = drawn["text_to_image"][ids]
        assert image.shape[1:3] == (4 * tokens.shape[1], 4 * tokens.shape[2])
        same = tokens.flatten()[:, None] == tokens.flatten()
        cells = image[0, ::4, ::4].reshape(-1, 3)
        assert torch.equal((cells[:, None] == cells).all(-1), same)


def lora_for(models, name: str) -> None:
    target = "diffusion_model.transformer_blocks.0.attn1.to_q"
    width = 32
    generator = torch.Generator().manual_seed(0)
    save_file({f"{target}.lora_A.weight": torch.randn(4, width, generator=generator),
               f"{target}.lora_B.weight": torch.randn(width, 4, generator=generator)}, models.folder / "loras" / name)


def test_lora_changes_the_result_and_is_undone(server, models, drawn):
    lora_for(models, "tiny_lora.safetensors")
    graph = small("text_to_image")
    loader = next(key for key, node in graph.items() if node["class_type"] == "GLMImageDiffusionModelLoader")
    graph["lora"] = {"class_type": "LoraLoaderModelOnly",
                     "inputs": {"model": [loader, 0], "lora_name": "tiny_lora.safetensors", "strength_model": 1.0}}
    nodes_of(graph, "ModelSamplingGLMImage")[0]["inputs"]["model"] = ["lora", 0]
    with_lora = run_and_keep(server, graph, "lora")
    assert (with_lora["latent"] - drawn["text_to_image"]["latent"]).abs().max() > 0.01
    # another step count, or ComfyUI would answer from its cache
    graph = small("text_to_image")
    graph[sampler(graph)]["inputs"]["denoise"] = 0.9999999
    undone = run_and_keep(server, graph, "lora_undone")
    assert close(undone["latent"], drawn["text_to_image"]["latent"])


def test_cancel_while_planning_and_a_clean_run_after_it(server, drawn):
    """1024 x 1024 pixels are some seconds of planning even for the tiny model."""
    graph = small("text_to_image", width=4096, height=2048, seed=99)
    planner = next(key for key, node in graph.items() if node["class_type"] == "GLMImagePlan")
    progress, asked = [], []

    def cancel(message):
        if not isinstance(message, bytes) and message["type"] == "progress" and message["data"]["node"] == planner:
            progress.append(message["data"]["value"])
            if not asked:
                asked.append(time.monotonic())
                server.post("/interrupt")

    with pytest.raises(RunFailed) as failure:
        server.run(graph, cancel)
    assert failure.value.details["node_id"] == planner
    assert time.monotonic() - asked[0] < INTERRUPT_SECONDS
    assert 0 < max(progress) < 8192
    graph = small("text_to_image")
    graph[sampler(graph)]["inputs"]["denoise"] = 0.9999998
    assert close(run_and_keep(server, graph, "after_cancel")["latent"], drawn["text_to_image"]["latent"])


def test_planning_previews_are_at_most_two_a_second(server):
    pictures, started = [], time.monotonic()
    graph = small("text_to_image", width=1024, height=1024, seed=7)
    planner = next(key for key, node in graph.items() if node["class_type"] == "GLMImagePlan")
    only_plan = {key: graph[key] for key in ("1", "5", "6")}
    only_plan["keep"] = {"class_type": "TestKeepPlan", "inputs": {"plan": [planner, 0], "name": "preview.plan.safetensors"}}
    server.run(only_plan, lambda message: pictures.append(message) if isinstance(message, bytes) else None)
    seconds = time.monotonic() - started
    assert 1 <= len(pictures) <= 2 * seconds


def test_stock_vae_nodes_work(server, drawn):
    graph = small("text_to_image")
    vae = next(key for key, node in graph.items() if node["class_type"] == "GLMImageVAELoader")
    latent = [sampler(graph), 0]
    decode = next(key for key, node in graph.items() if node["class_type"] == "VAEDecode")
    graph["tiled"] = {"class_type": "VAEDecodeTiled", "inputs": {"samples": latent, "vae": [vae, 0], "tile_size": 64, "overlap": 32,
                                                                 "temporal_size": 64, "temporal_overlap": 8}}
    graph["encode"] = {"class_type": "VAEEncode", "inputs": {"pixels": [decode, 0], "vae": [vae, 0]}}
    graph["mask"] = {"class_type": "SolidMask", "inputs": {"value": 1.0, "width": WIDTH, "height": HEIGHT}}
    graph["inpaint"] = {"class_type": "VAEEncodeForInpaint", "inputs": {"pixels": [decode, 0], "vae": [vae, 0], "mask": ["mask", 0],
                                                                       "grow_mask_by": 6}}
    for name in ("tiled", "encode", "inpaint"):
        kind = "image" if name == "tiled" else "latent"
        graph[f"keep_{name}"] = {"class_type": "TestKeepTensors", "inputs": {"name": f"{name}.safetensors", kind: [name, 0]}}
    server.run(graph)
    tiled = load_file(server.output / "tiled.safetensors")["image"]
    assert tiled.shape == drawn["text_to_image"]["image"].shape
    for name in ("encode", "inpaint"):
        assert load_file(server.output / f"{name}.safetensors")["latent"].shape == (1, 16, HEIGHT // 8, WIDTH // 8)


def test_regional_conditioning_and_denoise_run(server):
    graph = small("text_to_image")
    apply = next(key for key, node in graph.items() if node["class_type"] == "GLMImageApplyPlan")
    graph["area"] = {"class_type": "ConditioningSetArea", "inputs": {"conditioning": [apply, 0], "width": 64, "height": 64, "x": 32, "y": 0,
                                                                    "strength": 1.0}}
    graph["both"] = {"class_type": "ConditioningCombine", "inputs": {"conditioning_1": [apply, 0], "conditioning_2": ["area", 0]}}
    main = sampler(graph)
    graph[main]["inputs"]["positive"] = ["both", 0]
    graph["again"] = {"class_type": "KSampler", "inputs": {**graph[main]["inputs"], "latent_image": [main, 0], "denoise": 0.5}}
    kept = run_and_keep(server, graph, "area")
    assert torch.isfinite(kept["latent"]).all()


BAD_INPUTS = {
    "plan and latent of different sizes": (lambda g: nodes_of(g, "EmptyGLMImageLatent")[0]["inputs"].pop("plan") and
                                           nodes_of(g, "EmptyGLMImageLatent")[0]["inputs"].update(width=128),
                                           "it is for 96x64 pixels, but the latent is 128x64"),
    "a VAE in the planner loader": (lambda g: nodes_of(g, "GLMImagePlannerLoader")[0]["inputs"].update(
        planner_name="glm_image_glyph_encoder.safetensors"), "not a GLM-Image planner: it holds the glyph encoder"),
}


@pytest.mark.parametrize("name", BAD_INPUTS)
def test_bad_input_is_named(server, name):
    change, message = BAD_INPUTS[name]
    graph = small("text_to_image")
    change(graph)
    with pytest.raises(RunFailed) as failure:
        server.run(graph)
    assert message in failure.value.details["exception_message"]


def test_size_off_the_grid_is_refused(server):
    graph = small("text_to_image", width=100)
    with pytest.raises(RunFailed) as failure:
        server.run(graph)
    assert "100" in json.dumps(failure.value.details)


def with_model(graph: dict, name: str, node: dict) -> dict:
    """The graph with one more node, whose MODEL the sampler gets."""
    key = sampler(graph)
    return {**graph, name: node, key: {**graph[key], "inputs": {**graph[key]["inputs"], "model": [name, 0]}}}


def cache_node(class_type: str, graph: dict, threshold: float) -> dict:
    sampling = next(key for key, node in graph.items() if node["class_type"] == "ModelSamplingGLMImage")
    return {"class_type": class_type, "inputs": {"model": [sampling, 0], "reuse_threshold": threshold, "start_percent": 0.0,
                                                 "end_percent": 1.0, "verbose": False}}


@pytest.mark.parametrize("name", ["ModelSamplingSD3", "ModelSamplingAuraFlow"])
def test_other_packs_model_sampling_works(server, drawn, name):
    """The same shift through core's own nodes is the same picture."""
    graph = small("text_to_image")
    loader = next(key for key, node in graph.items() if node["class_type"] == "GLMImageDiffusionModelLoader")
    node = {"class_type": name, "inputs": {"model": [loader, 0], "shift": resolution_shift(WIDTH, HEIGHT)}}
    assert close(run_and_keep(server, with_model(graph, "other", node), name)["latent"], drawn["text_to_image"]["latent"])


@pytest.mark.parametrize("name", ["EasyCache", "LazyCache"])
def test_caches_work(server, drawn, name):
    """One that reuses nothing changes nothing; one that reuses steps does."""
    graph, plain = small("text_to_image"), drawn["text_to_image"]["latent"]
    none, some = (run_and_keep(server, with_model(graph, "cache", cache_node(name, graph, threshold)), f"{name}{threshold}")["latent"]
                  for threshold in (0.0, 3.0))
    assert close(none, plain)
    assert torch.isfinite(some).all() and not close(some, plain)
