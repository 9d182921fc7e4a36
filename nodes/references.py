"""Reference images: their tokens for the planner, tokens and latent for the decoder."""

import torch
from comfy_api.latest import io

from ..glm_core.host.compat import search_aliases
from ..glm_core.host.references import read_reference
from ..glm_core.images import fit_image, fit_mask
from .types import CONDITIONING, PLANS, SAMPLING, Plan, Planner, References


class GLMImageTokenize(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageTokenize",
            display_name="GLM-Image Tokenize",
            category=PLANS,
            **search_aliases("variation", "image to plan", "vq encode", "semantic tokens", "i2i", "image to image",
                             "图生图", "变体"),
            description="Reads an image as a grid of tokens. The result is a plan like any other: apply it to draw a "
                        "variation of the image.",
            inputs=[
                Planner.Input("planner", tooltip="The planner; its vision tower reads the image."),
                io.Image.Input("image", tooltip="At least 16 pixels wide and high, aspect ratio at most 4:1. The plan "
                                                "gets the nearest size that the model can read: sides of 512 to 2048 "
                                                "pixels in steps of 32."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, planner, image) -> io.NodeOutput:
        return io.NodeOutput(planner.tokenize(image))


class GLMImageReference(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageReference",
            display_name="GLM-Image Reference",
            category=CONDITIONING,
            **search_aliases("edit", "image to image", "i2i", "img2img", "reference image", "style transfer",
                             "multi image", "subject", "图像编辑", "图生图", "多图", "风格迁移"),
            description="Reads a reference image for the planner and for the decoder. Chain one of these nodes per "
                        "image, in the order the prompt refers to them.",
            inputs=[
                Planner.Input("planner", tooltip="The planner; its vision tower reads the image's tokens."),
                io.Vae.Input("vae", tooltip="The GLM-Image VAE; it encodes the image for the decoder."),
                io.Image.Input("image", tooltip="The reference image: at least 16 pixels wide and high, aspect ratio "
                                                "at most 4:1."),
                References.Input("references", optional=True,
                                 tooltip="The images before this one, from another GLM-Image Reference."),
                io.Boolean.Input("in_negative", default=False,
                                 tooltip="Off: the image affects the positive prompt only, matching how the model was "
                                         "trained. On: it also affects the negative prompt."),
            ],
            outputs=[
                References.Output(display_name="references"),
                io.Int.Output(display_name="width"),
                io.Int.Output(display_name="height"),
            ],
        )

    @classmethod
    def execute(cls, planner, vae, image, in_negative, references=()) -> io.NodeOutput:
        reference = read_reference(planner, vae, image, in_negative)
        return io.NodeOutput((*references, reference), reference.tokens.width, reference.tokens.height)


class GLMImageFitImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageFitImage",
            display_name="GLM-Image Fit Image",
            category=SAMPLING,
            **search_aliases("resize", "scale", "inpaint", "mask", "缩放", "局部重绘"),
            description="Resizes an image, and its mask, to the size of a plan, for inpainting.",
            inputs=[
                io.Image.Input("image", tooltip="An image of any size."),
                Plan.Input("plan", tooltip="Sets the size."),
                io.Mask.Input("mask", optional=True, tooltip="The area to repaint, resized with the image. If "
                                                             "nothing is connected, the mask is empty."),
            ],
            outputs=[
                io.Image.Output(),
                io.Mask.Output(),
                io.Int.Output(display_name="width"),
                io.Int.Output(display_name="height"),
            ],
        )

    @classmethod
    def execute(cls, image, plan, mask=None) -> io.NodeOutput:
        if mask is None:
            mask = torch.zeros(image.shape[:3])
        width, height = plan.width, plan.height
        return io.NodeOutput(fit_image(image, width, height), fit_mask(mask, width, height), width, height)
