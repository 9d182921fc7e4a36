"""Core's Train LoRA on our MODEL: several images, each with its own tokens and texts, and the file that comes of it."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from tests.host.graphs import (
    TINY_FILES,
    WIDTH,
    id_of,
    inputs_of,
    is_close,
    largest_difference,
    load_saved,
    make_node,
    nodes_of,
    run_and_load,
    save_tensors,
    small_workflow,
    with_lora,
)

TRAINED_STEPS = 60
SETTINGS = {"steps": TRAINED_STEPS, "learning_rate": 0.01, "rank": 2, "training_dtype": "fp32", "lora_dtype": "fp32",
            "gradient_checkpointing": False}
FILE = "trained.safetensors"
COLOURS, TEXTS = (0xFF0000, 0x0000FF), ('"RED"', '"BLUE"')


def training_set() -> dict:
    """Two images with their latents ("latents") and with one conditioning each, combined ("positive")."""
    graph = {
        "planner": make_node("GLMImagePlannerLoader", planner_name=TINY_FILES["planner_name"]),
        "clip": make_node("GLMImageGlyphEncoderLoader", encoder_name=TINY_FILES["encoder_name"], quotes="natural"),
        "model": make_node("GLMImageDiffusionModelLoader", model_name=TINY_FILES["model_name"], weight_dtype="default"),
        "vae": make_node("GLMImageVAELoader", vae_name=TINY_FILES["vae_name"]),
        "images": make_node("ImageBatch", image1=["image0", 0], image2=["image1", 0]),
        "latents": make_node("VAEEncode", pixels=["images", 0], vae=["vae", 0]),
        "shifted": make_node("ModelSamplingGLMImage", model=["model", 0], latent=["latents", 0]),
        "tokens": make_node("GLMImageTokenize", planner=["planner", 0], image=["images", 0]),
        "positive": make_node("ConditioningCombine", conditioning_1=["apply0", 0], conditioning_2=["apply1", 0]),
    }
    for i, (colour, text) in enumerate(zip(COLOURS, TEXTS)):
        graph |= {
            f"image{i}": make_node("EmptyImage", width=WIDTH, height=WIDTH, batch_size=1, color=colour),
            f"text{i}": make_node("CLIPTextEncode", clip=["clip", 0], text=text),
            f"plan{i}": make_node("GLMImageSelectPlan", plan=["tokens", 0], index=i, count=1),
            f"apply{i}": make_node("GLMImageApplyPlan", positive=[f"text{i}", 0], plan=[f"plan{i}", 0]),
        }
    return graph


def train_node(info: dict, **links) -> dict:
    """Train LoRA with the defaults of this ComfyUI for all that SETTINGS leaves open."""
    options = {name: spec[1] for name, spec in info["input"]["required"].items() if name not in links}
    return make_node("TrainLoraNode", **links, **{name: option["default"] for name, option in options.items()}
                     | SETTINGS)


def output(info: dict, name: str) -> list:
    """The link to an output of Train LoRA, whose number is not the same in all ComfyUIs."""
    return ["train", info["output_name"].index(name)]


@pytest.fixture(scope="module")
def trained(server) -> SimpleNamespace:
    """loss: of each step. latent: drawn with the LoRA by Load LoRA Model. The file is among the server's LoRAs."""
    info = server.get("/object_info/TrainLoraNode")["TrainLoraNode"]
    train = train_node(info, model=["shifted", 0], latents=["latents", 0], positive=["positive", 0])
    drawing = small_workflow("text_to_image")
    inputs_of(drawing, "ModelSamplingGLMImage")["model"] = ["with_lora", 0]
    added = {
        "train": train,
        "save_lora": make_node("SaveLoRA", lora=output(info, "lora"), prefix="trained"),
        "save_loss": save_tensors("train_loss", loss=output(info, "loss_map")),
        "with_lora": make_node("LoraModelLoader", model=[id_of(drawing, "GLMImageDiffusionModelLoader"), 0],
                               lora=output(info, "lora"), strength_model=1.0, bypass=False),
    }
    latent = run_and_load(server, training_set() | drawing | added, "train_lora")["latent"]
    shutil.copy(next(server.output.glob("trained*.safetensors")), server.models / "loras" / FILE)
    return SimpleNamespace(loss=load_saved(server, "train_loss")["loss"], latent=latent)


def test_the_loss_falls(trained):
    assert len(trained.loss) == TRAINED_STEPS
    third = TRAINED_STEPS // 3
    assert trained.loss[-third:].mean() < 0.7 * trained.loss[:third].mean()


def test_the_file_draws_what_the_trained_lora_draws(server, trained, text_to_image):
    drawn = run_and_load(server, with_lora(small_workflow("text_to_image"), FILE), "trained_file")["latent"]
    assert is_close(drawn, trained.latent)
    assert largest_difference(drawn, text_to_image["latent"]) > 0.05


def test_our_loader_reads_the_file_too(server, trained):
    graph = small_workflow("text_to_image")
    loader = [id_of(graph, "GLMImageDiffusionModelLoader"), 0]
    graph["lora"] = make_node("GLMImageLoraLoader", lora_name=FILE, model=loader, strength_model=1.0,
                              strength_planner=0.0)
    nodes_of(graph, "ModelSamplingGLMImage")[0]["inputs"]["model"] = ["lora", 0]
    assert is_close(run_and_load(server, graph, "trained_own")["latent"], trained.latent)


def test_the_file_has_the_names_of_the_decoders_modules(server, trained):
    with safe_open(server.models / "loras" / FILE, framework="pt") as file:
        names = set(file.keys())
        down = file.get_tensor("diffusion_model.transformer_blocks.0.attn1.to_q.lora_down.weight")
    assert all(name.startswith("diffusion_model.") for name in names)
    assert down.shape[0] == SETTINGS["rank"] and down.dtype == torch.float32
