"""Prompt → plan."""

from dataclasses import fields

from comfy_api.latest import io

from ..glm_core.planner import Sampling
from .types import CATEGORY, Plan, Planner

MOST_REFERENCES = 16
FIRST_SETTINGS = 3  # temperature, top_p, top_k; a new widget goes last, since saved workflows hold values by position


class OptionalPrefix(io.Autogrow.TemplatePrefix):
    """Slots that may stay empty. With min=0 the page of ComfyUI 0.8 makes no slot at all, and its server reads the first
    group of the template, which must not be an empty "required"."""

    def as_dict(self):
        template = super().as_dict()
        template["input"].pop("required", None)
        return template


def size_inputs() -> list:
    return [
        io.Int.Input("width", default=1024, min=32, max=4096, step=32,
                     tooltip="Width in pixels, a multiple of 32; trained for 512 to 2048."),
        io.Int.Input("height", default=1024, min=32, max=4096, step=32,
                     tooltip="Height in pixels, a multiple of 32; trained for 512 to 2048."),
        io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="How many pictures."),
    ]


def sampling_inputs() -> list:
    """A widget for every field of Sampling, in order."""
    widgets = {float: io.Float.Input, int: io.Int.Input}
    return [widgets[type(entry.default)](entry.name, default=entry.default, min=entry.metadata["least"], max=entry.metadata["most"],
                                         step=entry.metadata["step"], tooltip=entry.metadata["help"]) for entry in fields(Sampling)]


class GLMImagePlan(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImagePlan",
            display_name="GLM-Image Plan",
            category=CATEGORY,
            description="Writes the picture as a grid of tokens: first a small preview that fixes the layout, then one token for every "
                        "32x32 pixels. Every picture of a batch gets a plan of its own.",
            inputs=[
                Planner.Input("planner", tooltip="The planner that reads the prompt."),
                io.String.Input("prompt", multiline=True, dynamic_prompts=True,
                                tooltip="What to draw. Put texts that are to be lettered in quotation marks."),
                *size_inputs(),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
                             tooltip="Picture i of the batch is planned with seed + i, whatever the batch size."),
                *sampling_inputs()[:FIRST_SETTINGS],
                io.Int.Input("look_ahead", default=1, min=1, max=64, optional=True,
                             tooltip="Tokens that are tried in one pass; the plan stays the same. 1 is off. More is faster where tokens "
                                     "are easy to guess."),
                io.Autogrow.Input("references", optional=True, template=OptionalPrefix(
                    Plan.Input("reference", optional=True,
                               tooltip="Tokens of a picture to edit or to take something from (GLM-Image Tokenize)."),
                    prefix="reference", min=1, max=MOST_REFERENCES),
                    tooltip="Tokens of reference pictures, in the order the prompt means; the plan then has no preview grid."),
                *sampling_inputs()[FIRST_SETTINGS:],
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, planner, prompt, width, height, batch_size, seed, look_ahead=1, references=None, **sampling):
        names = sorted(references or {}, key=lambda name: (len(name), name))  # reference10 comes after reference2
        return io.NodeOutput(planner.plan(prompt, width, height, batch_size, seed, Sampling(**sampling),
                                          [references[name] for name in names], look_ahead))
