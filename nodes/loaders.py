"""Files → the four parts of the model."""

from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..glm_core.checkpoint import (
    DIFFUSION,
    EMBEDDED,
    GLYPH,
    PLANNER,
    REPOSITORY,
    VAE,
    Part,
    cached_snapshot,
    find_released_folders,
    locate,
)
from ..glm_core.glyph import NATURAL, QUOTE_RULES
from ..glm_core.host import GLMImageVAE, HostPlanner, load_diffusion_model, load_glyph_encoder, load_lora
from ..glm_core.host.compat import search_aliases
from .types import LOADERS, Planner

WEIGHT_DTYPES = {  # the choices of ComfyUI's Load Diffusion Model
    "default": {},
    "fp8_e4m3fn": {"dtype": torch.float8_e4m3fn},
    "fp8_e4m3fn_fast": {"dtype": torch.float8_e4m3fn, "fp8_optimizations": True},
    "fp8_e5m2": {"dtype": torch.float8_e5m2},
}
STRENGTH = {"default": 1.0, "min": -100.0, "max": 100.0, "step": 0.01}  # as in core's LoRA loaders
RELEASED_FOLDERS = "diffusers"  # where ComfyUI keeps models that are folders
CACHED = f"{REPOSITORY} (Hugging Face cache)"
DEMO = "embedded (demo)"
DEMO_TOOLTIP = f" {DEMO}: the small model that comes with this pack; it draws simple posters of 256x256 pixels."


def quotes_input() -> io.Combo.Input:
    rules = [NATURAL, *(rule for rule in QUOTE_RULES if rule != NATURAL)]
    return io.Combo.Input("quotes", options=rules, default=NATURAL,
                          tooltip="Which quoted text is written in the image. natural: apostrophes (it's, dogs') and "
                                  "inch marks are not quotation marks. reference: any two marks form a pair, and only "
                                  "four styles of marks are known, as in diffusers.")


def file_names(kind: str) -> list[str]:
    """The files in models/``kind``, and the embedded model."""
    return [*folder_paths.get_filename_list(kind), DEMO]


def find(kind: str, name: str, part: Part) -> str:
    """Path of a part by one of the names in ``file_names``."""
    return str(locate(EMBEDDED, part)) if name == DEMO else folder_paths.get_full_path_or_raise(kind, name)


def released_folders() -> dict[str, Path]:
    """Folders in models/diffusers that contain a GLM-Image, by their relative names, that of the Hugging Face cache if
    there is one, and that of the embedded model."""
    found = {}
    for root in folder_paths.get_folder_paths(RELEASED_FOLDERS):
        found |= find_released_folders(Path(root))
    snapshot = cached_snapshot()
    if snapshot and find_released_folders(snapshot):
        found[CACHED] = snapshot
    return found | {DEMO: EMBEDDED}


class GLMImageDiffusionModelLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageDiffusionModelLoader",
            display_name="Load GLM-Image Diffusion Model",
            category=LOADERS,
            **search_aliases("unet loader", "diffusion model", "dit", "checkpoint", "加载模型", "扩散模型"),
            description="Loads the decoder (a diffusion transformer) as a MODEL that samplers, LoRA loaders and model "
                        "patches accept.",
            inputs=[
                io.Combo.Input("model_name", options=file_names("diffusion_models"),
                               tooltip="A GLM-Image diffusion model from models/diffusion_models." + DEMO_TOOLTIP),
                io.Combo.Input("weight_dtype", options=list(WEIGHT_DTYPES), default="default",
                               tooltip="How the weights are stored. default: as in the file. fp8: in 8 bits, which "
                                       "halves the memory of 16-bit weights and costs some quality."),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model_name, weight_dtype) -> io.NodeOutput:
        path = find("diffusion_models", model_name, DIFFUSION)
        return io.NodeOutput(load_diffusion_model(path, WEIGHT_DTYPES[weight_dtype]))


class GLMImagePlannerLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImagePlannerLoader",
            display_name="Load GLM-Image Planner",
            category=LOADERS,
            **search_aliases("autoregressive model", "language model", "ar model", "checkpoint", "自回归模型",
                             "加载模型"),
            description="Loads the planner, the autoregressive model that writes an image's plan. ComfyUI unloads it "
                        "when the decoder needs the memory.",
            inputs=[
                io.Combo.Input("planner_name", options=file_names("text_encoders"),
                               tooltip="A GLM-Image planner from models/text_encoders." + DEMO_TOOLTIP),
            ],
            outputs=[Planner.Output(display_name="planner")],
        )

    @classmethod
    def execute(cls, planner_name) -> io.NodeOutput:
        return io.NodeOutput(HostPlanner(find("text_encoders", planner_name, PLANNER)))


class GLMImageGlyphEncoderLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageGlyphEncoderLoader",
            display_name="Load GLM-Image Glyph Encoder",
            category=LOADERS,
            **search_aliases("clip loader", "text encoder", "byt5", "t5", "文本编码器", "字形"),
            description="Loads the glyph encoder, which encodes the quoted text of a prompt letter by letter. Use it "
                        "with GLM-Image Conditioning or CLIP Text Encode.",
            inputs=[
                io.Combo.Input("encoder_name", options=file_names("text_encoders"),
                               tooltip="A GLM-Image glyph encoder (ByT5) from models/text_encoders." + DEMO_TOOLTIP),
                quotes_input(),
            ],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, encoder_name, quotes) -> io.NodeOutput:
        return io.NodeOutput(load_glyph_encoder(find("text_encoders", encoder_name, GLYPH), quotes))


class GLMImageVAELoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageVAELoader",
            display_name="Load GLM-Image VAE",
            category=LOADERS,
            **search_aliases("vae loader", "autoencoder", "变分自编码器"),
            description="Loads the VAE, for VAE Decode, VAE Encode and their tiled and inpainting variants.",
            inputs=[
                io.Combo.Input("vae_name", options=file_names("vae"),
                               tooltip="A GLM-Image VAE from models/vae." + DEMO_TOOLTIP),
            ],
            outputs=[io.Vae.Output()],
        )

    @classmethod
    def execute(cls, vae_name) -> io.NodeOutput:
        return io.NodeOutput(GLMImageVAE(find("vae", vae_name, VAE)))


class GLMImageFolderLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageFolderLoader",
            display_name="Load GLM-Image Folder",
            category=LOADERS,
            **search_aliases("checkpoint", "diffusers", "all in one", "load model", "加载模型", "整合加载"),
            description="Loads all four parts from the released folder, exactly as downloaded.",
            inputs=[
                io.Combo.Input("folder", options=list(released_folders()),
                               tooltip="A folder in models/diffusers that contains zai-org/GLM-Image, or this model in "
                                       "the Hugging Face cache of this computer." + DEMO_TOOLTIP),
                io.Combo.Input("weight_dtype", options=list(WEIGHT_DTYPES), default="default",
                               tooltip="How the diffusion model's weights are stored. default: as in the files. fp8: "
                                       "in 8 bits, which halves the memory of 16-bit weights and costs some "
                                       "quality."),
                quotes_input(),
            ],
            outputs=[io.Model.Output(), Planner.Output(display_name="planner"), io.Clip.Output(), io.Vae.Output()],
        )

    @classmethod
    def execute(cls, folder, weight_dtype, quotes) -> io.NodeOutput:
        root = released_folders()[folder]
        return io.NodeOutput(
            load_diffusion_model(str(locate(root, DIFFUSION)), WEIGHT_DTYPES[weight_dtype]),
            HostPlanner(str(locate(root, PLANNER))),
            load_glyph_encoder(str(locate(root, GLYPH)), quotes),
            GLMImageVAE(str(locate(root, VAE))),
        )


class GLMImageLoraLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImageLoraLoader",
            display_name="Load GLM-Image LoRA",
            category=LOADERS,
            **search_aliases("lora loader", "lycoris", "peft", "adapter", "微调", "适配器"),
            description="Applies a LoRA to the diffusion model, to the planner or to both. Chain several of these "
                        "nodes to use several LoRAs.",
            inputs=[
                io.Model.Input("model", optional=True, tooltip="The diffusion model."),
                Planner.Input("planner", optional=True, tooltip="The planner."),
                io.Combo.Input("lora_name", options=folder_paths.get_filename_list("loras"),
                               tooltip="A LoRA from models/loras, for the diffusion model or for the planner."),
                io.Float.Input("strength_model", **STRENGTH,
                               tooltip="How strongly the diffusion model is changed. 0 leaves it as it is; a negative "
                                       "value reverses the change."),
                io.Float.Input("strength_planner", **STRENGTH,
                               tooltip="How strongly the planner is changed, vision tower included. 0 leaves it as it "
                                       "is; a negative value reverses the change."),
            ],
            outputs=[io.Model.Output(), Planner.Output(display_name="planner")],
        )

    @classmethod
    def execute(cls, lora_name, strength_model, strength_planner, model=None, planner=None):
        path = folder_paths.get_full_path_or_raise("loras", lora_name)
        changed = load_lora(path, model, planner, strength_model, strength_planner)
        return io.NodeOutput(*(unconnected(name) if value is None else value
                               for name, value in zip(("model", "planner"), changed)))


def unconnected(name: str) -> ExecutionBlocker:
    """Stops the nodes behind the output of an input that is not connected."""
    return ExecutionBlocker(f"Load GLM-Image LoRA: connect the input {name} to use this output")
