"""Nodes that show plans, or change them without a model."""

from comfy_api.latest import io, ui

from ..glm_core.plans import GRIDS, MARKS, SUBJECTS, Look, draw_plan, select
from .types import CATEGORY, Plan, Planner


class GLMImagePlanPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImagePlanPreview",
            display_name="GLM-Image Plan Preview",
            category=CATEGORY,
            description="Draws the tokens of a plan as coloured squares, or how certain the planner was of each. The "
                        "same token always has the same colour; with a planner connected, tokens that are alike have "
                        "similar colours.",
            inputs=[
                Plan.Input("plan", tooltip="The plan to show."),
                io.Combo.Input("grid", options=list(GRIDS), default=GRIDS[0],
                               tooltip="target: one token for every 32x32 pixels. preview: the small grid that was "
                                       "generated first. both: side by side, at the same height; the target alone if "
                                       "the plan has no preview grid."),
                io.Int.Input("cell", default=16, min=1, max=64, tooltip="Side of a token's square in pixels."),
                Planner.Input("planner", optional=True,
                              tooltip="The planner that the plan is for. Its codebook gives the colours, so that "
                                      "tokens that are alike look alike. If nothing is connected, the colours have no "
                                      "meaning."),
                io.Combo.Input("show", options=list(SUBJECTS), default=SUBJECTS[0], optional=True,
                               tooltip="tokens: a colour for each token. confidence: how probable each token was, from "
                                       "dark violet (0.1 % or less) to yellow (100 %); for plans from GLM-Image Plan "
                                       "that were not edited."),
                io.Combo.Input("marks", options=list(MARKS), default=MARKS[0], optional=True,
                               tooltip="Lines between the squares, and the numbers of rows and columns, counted from "
                                       "0. What would be too small to read is left out."),
            ],
            outputs=[io.Image.Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, plan, grid, cell, planner=None, show=SUBJECTS[0], marks=MARKS[0]) -> io.NodeOutput:
        palette = None if planner is None else planner.code_colours
        image = draw_plan(plan, Look(grid, cell, show, marks), palette)
        return io.NodeOutput(image, ui=ui.PreviewImage(image, cls=cls))


class GLMImageSelectPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImageSelectPlan",
            display_name="GLM-Image Select Plan",
            category=CATEGORY,
            description="Takes some plans out of a batch, as Latent From Batch does with latents.",
            inputs=[
                Plan.Input("plan", tooltip="A batch of plans."),
                io.Int.Input("index", default=0, min=0, max=4095, tooltip="The first plan to take, counted from 0."),
                io.Int.Input("count", default=1, min=1, max=4096, tooltip="Number of plans to take."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, plan, index, count):
        return io.NodeOutput(select(plan, index, count))
