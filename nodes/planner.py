"""Prompt → plan."""

from dataclasses import Field, fields

from comfy_api.latest import io

from ..glm_core.host.compat import search_aliases
from ..glm_core.planner import Sampling
from .types import PLANS, Plan, Planner, References

REQUIRED_SETTINGS = "temperature", "top_p", "top_k"  # later ones are optional, see ``sampling_inputs``


def side_inputs() -> list[io.Int.Input]:
    return [
        io.Int.Input("width", default=1024, min=32, max=4096, step=32,
                     tooltip="Width in pixels, a multiple of 32. The model was trained for 512 to 2048."),
        io.Int.Input("height", default=1024, min=32, max=4096, step=32,
                     tooltip="Height in pixels, a multiple of 32. The model was trained for 512 to 2048."),
    ]


def size_inputs() -> list[io.Int.Input]:
    return [*side_inputs(), io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="Number of images.")]


def sampling_inputs() -> list[io.Input]:
    """A widget for every field of Sampling, in order.

    Saved workflows hold values by position, and ComfyUI puts every required widget before the optional ones. So a
    setting that is added later is optional: its widget is then the last.
    """
    return [sampling_input(setting) for setting in fields(Sampling)]


def sampling_input(setting: Field) -> io.Input:
    widget = io.Int.Input if isinstance(setting.default, int) else io.Float.Input
    limits = setting.metadata
    return widget(setting.name, default=setting.default, min=limits["least"], max=limits["most"], step=limits["step"],
                  optional=setting.name not in REQUIRED_SETTINGS, tooltip=limits["help"])


def references_input(tooltip: str = "Reference images to edit or to take something from, from GLM-Image Reference. "
                                    "With them, no preview grid is generated.") -> io.Input:
    return References.Input("references", optional=True, tooltip=tooltip)


class GLMImagePlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImagePlan",
            display_name="GLM-Image Plan",
            category=PLANS,
            **search_aliases("t2i", "text to image", "prompt", "generate", "semantic tokens", "autoregressive",
                             "layout", "文生图", "提示词", "布局", "自回归"),
            description="Plans an image as a grid of tokens: first a small preview grid that fixes the layout, then "
                        "one token for every 32x32 pixels. Each image of a batch gets its own plan.",
            inputs=[
                Planner.Input("planner", tooltip="The planner that reads the prompt."),
                io.String.Input("prompt", multiline=True, dynamic_prompts=False,
                                tooltip="What to draw or, with references, what to change. Put text that should appear "
                                        "in the image in quotation marks."),
                *size_inputs(),
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
                             tooltip="Image i of the batch, counted from 0, is planned with seed + i, whatever the "
                                     "batch size."),
                *sampling_inputs()[: len(REQUIRED_SETTINGS)],
                io.Int.Input("look_ahead", default=1, min=1, max=64, optional=True,
                             tooltip="Number of tokens tried in one pass; the plan stays the same. 1 turns this off. "
                                     "Higher values are faster where tokens are easy to guess."),
                references_input(),
                *sampling_inputs()[len(REQUIRED_SETTINGS) :],
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, planner, prompt, width, height, batch_size, seed, look_ahead=1, references=(),
                **sampling) -> io.NodeOutput:
        tokens = [reference.tokens for reference in references]
        plan = planner.plan(prompt, width, height, batch_size, seed, Sampling(**sampling), tokens, look_ahead)
        return io.NodeOutput(plan)
