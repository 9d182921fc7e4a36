"""Plan → sampler: conditioning, latent, shift and schedule."""

import comfy.model_management
import torch
from comfy_api.latest import io

from ..glm_core.decoder import last_sigmas, resolution_shift
from ..glm_core.geometry import LATENT_PIXELS, check_batch_size, check_size, latent_shape
from ..glm_core.host.checks import check_picture_latent
from ..glm_core.host.compat import search_aliases
from ..glm_core.host.conditioning import apply_plan, encode_prompt, warn_of_missing_references, zero_conditioning
from ..glm_core.host.diffusion import patch_sampling
from ..glm_core.plans import common_prompt
from .planner import size_inputs
from .types import CONDITIONING, SAMPLING, Plan, References


def references_input():
    return References.Input("references", optional=True,
                            tooltip="The reference images that the plan was made with, from GLM-Image Reference.")


def conditioning_outputs() -> list:
    return [io.Conditioning.Output(display_name="positive"), io.Conditioning.Output(display_name="negative")]


class GLMImageConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImageConditioning",
            display_name="GLM-Image Conditioning",
            category=CONDITIONING,
            **search_aliases("text encode", "clip text encode", "glyph", "positive", "negative", "prompt", "文本编码",
                             "正面", "负面", "提示词"),
            description="Encodes the quoted text of the plan's own prompt and attaches the plan and the reference "
                        "images. The negative conditioning is an empty prompt without a plan, matching how the model "
                        "was trained.",
            inputs=[
                io.Clip.Input("clip", tooltip="The glyph encoder."),
                Plan.Input("plan", tooltip="The plan to render."),
                references_input(),
                io.String.Input("prompt", optional=True, force_input=True, dynamic_prompts=False,
                                tooltip="Replaces the prompt that the plan was made for; its quoted text is written in "
                                        "the image. Needed for plans that were read from an image."),
            ],
            outputs=conditioning_outputs(),
        )

    @classmethod
    def execute(cls, clip, plan, references=None, prompt=None):
        if prompt is None:
            prompt = common_prompt(plan.origins)
        if not references:
            warn_of_missing_references(plan)
        positive, negative = encode_prompt(clip, prompt), encode_prompt(clip, "")
        return io.NodeOutput(*apply_plan(positive, negative, plan, references))


class GLMImageApplyPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageApplyPlan",
            display_name="GLM-Image Apply Plan",
            category=CONDITIONING,
            **search_aliases("attach plan", "conditioning set plan", "prior", "附加规划"),
            description="Attaches a plan, and reference images, to a conditioning of your own. GLM-Image Conditioning "
                        "does so with the plan's own prompt.",
            inputs=[
                io.Conditioning.Input("positive", tooltip="CLIP Text Encode of the prompt, with the glyph encoder."),
                Plan.Input("plan", tooltip="The plan to render."),
                io.Conditioning.Input("negative", optional=True,
                                      tooltip="CLIP Text Encode of an empty prompt, with the glyph encoder. If nothing "
                                              "is connected, the negative conditioning is a single zero vector."),
                references_input(),
            ],
            outputs=conditioning_outputs(),
        )

    @classmethod
    def execute(cls, positive, plan, negative=None, references=None) -> io.NodeOutput:
        negative = zero_conditioning(positive) if negative is None else negative
        return io.NodeOutput(*apply_plan(positive, negative, plan, references))


class EmptyGLMImageLatent(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="EmptyGLMImageLatent",
            display_name="Empty GLM-Image Latent",
            category=SAMPLING,
            **search_aliases("empty latent", "new latent", "size", "resolution", "尺寸", "分辨率", "潜空间", "空白"),
            description="Creates an empty latent for the sampler. A connected plan sets its size and batch size.",
            inputs=[
                *size_inputs(),
                Plan.Input("plan", optional=True, tooltip="Replaces width, height and batch_size."),
            ],
            outputs=[io.Latent.Output()],
        )

    @classmethod
    def execute(cls, width, height, batch_size, plan=None) -> io.NodeOutput:
        if plan is not None:
            width, height, batch_size = plan.width, plan.height, plan.batch
        check_size(width, height)
        check_batch_size(batch_size)
        shape = latent_shape(batch_size, width, height)
        return io.NodeOutput({"samples": torch.zeros(shape, device=comfy.model_management.intermediate_device())})


class ModelSamplingGLMImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ModelSamplingGLMImage",
            display_name="ModelSamplingGLMImage",
            category=SAMPLING,
            **search_aliases("model sampling", "shift", "flow shift", "timestep shift", "偏移", "噪声"),
            description="Shifts the model's noise levels to suit the size of the latent. For KSampler: with the "
                        "scheduler 'simple' this is the official schedule. Not needed with GLM-Image Scheduler.",
            inputs=[
                io.Model.Input("model", tooltip="The GLM-Image diffusion model."),
                io.Latent.Input("latent", tooltip="The latent to be sampled; only its size is used."),
            ],
            outputs=[io.Model.Output()],
        )

    @classmethod
    def execute(cls, model, latent) -> io.NodeOutput:
        check_picture_latent(latent["samples"])
        return io.NodeOutput(patch_sampling(model, *latent["samples"].shape[-2:]))


class GLMImageScheduler(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageScheduler",
            display_name="GLM-Image Scheduler",
            category=SAMPLING,
            **search_aliases("sigmas", "noise schedule", "steps", "basic scheduler", "噪声计划", "步数"),
            description="The official noise schedule, for SamplerCustomAdvanced and other samplers that take SIGMAS.",
            inputs=[
                io.Latent.Input("latent", tooltip="The latent to be sampled; only its size is used."),
                io.Int.Input("steps", default=50, min=1, max=1000,
                             tooltip="Number of sampling steps. The model was released with 50."),
                io.Float.Input("denoise", default=1.0, min=0.01, max=1.0, step=0.01,
                               tooltip="1 starts from pure noise; lower values keep more of the latent."),
            ],
            outputs=[io.Sigmas.Output()],
        )

    @classmethod
    def execute(cls, latent, steps, denoise) -> io.NodeOutput:
        check_picture_latent(latent["samples"])
        height, width = (side * LATENT_PIXELS for side in latent["samples"].shape[-2:])
        return io.NodeOutput(last_sigmas(steps, denoise, resolution_shift(width, height)))
