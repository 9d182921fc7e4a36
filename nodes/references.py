"""Pictures into the model: their tokens for the planner, tokens and latent for the decoder."""

import torch
from comfy_api.latest import io

from ..glm_core.host.references import attach_reference
from ..glm_core.images import fit_image, fit_mask
from .types import CATEGORY, Plan, Planner


class GLMImageFitImage(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImageFitImage",
            display_name="GLM-Image Fit Image",
            category=CATEGORY,
            description="Brings a picture, and a mask with it, to the size of a plan. For edits and inpainting that keep the picture's "
                        "shape: give it the plan that GLM-Image Tokenize read off the picture.",
            inputs=[
                io.Image.Input("image", tooltip="The picture; any size."),
                Plan.Input("plan", tooltip="Its size is taken: GLM-Image Tokenize of the picture gives the nearest that the model reads."),
                io.Mask.Input("mask", optional=True, tooltip="Resized with the picture. Without it the mask is empty."),
            ],
            outputs=[io.Image.Output(), io.Mask.Output(), io.Int.Output(display_name="width"), io.Int.Output(display_name="height")],
        )

    @classmethod
    def execute(cls, image, plan, mask=None):
        if mask is None:
            mask = torch.zeros(image.shape[:3])
        fitted = fit_image(image, plan.width, plan.height), fit_mask(mask, plan.width, plan.height)
        return io.NodeOutput(*fitted, plan.width, plan.height)


class GLMImageTokenize(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImageTokenize",
            display_name="GLM-Image Tokenize",
            category=CATEGORY,
            description="Reads the token grid off a picture. It is a plan like any other: apply it to draw a variation of the picture, "
                        "or give it to GLM-Image Plan and GLM-Image Reference to edit the picture.",
            inputs=[
                Planner.Input("planner", tooltip="The planner, whose vision tower reads the picture."),
                io.Image.Input("image", tooltip="Any size from 16 pixels, aspect ratio up to 4. The plan gets the nearest size that "
                                                "the model reads: sides of 512 to 2048 in steps of 32."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, planner, image):
        return io.NodeOutput(planner.tokenize(image))


class GLMImageReference(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImageReference",
            display_name="GLM-Image Reference",
            category=CATEGORY,
            description="Shows the decoder a reference picture. Chain one for each picture, in the order of the planner's references.",
            inputs=[
                io.Conditioning.Input("conditioning", tooltip="The positive conditioning."),
                io.Image.Input("image", tooltip="The reference picture."),
                io.Vae.Input("vae", tooltip="The GLM-Image VAE."),
                Plan.Input("tokens", tooltip="GLM-Image Tokenize of the same picture."),
                io.Boolean.Input("in_negative", default=False,
                                 tooltip="Off: the picture acts on the positive branch only, as the model was trained. "
                                         "On: it acts wherever this conditioning is wired to."),
            ],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, conditioning, image, vae, tokens, in_negative):
        return io.NodeOutput(attach_reference(conditioning, image, vae, tokens, in_negative))
