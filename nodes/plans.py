"""Nodes that show plans, or change them without a model."""

from comfy_api.latest import io, ui

from ..glm_core.plans import draw_grid, select
from .types import CATEGORY, Plan


class GLMImagePlanPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImagePlanPreview",
            display_name="GLM-Image Plan Preview",
            category=CATEGORY,
            description="Draws the token grid: each token is a square, and the same token always has the same colour.",
            inputs=[
                Plan.Input("plan", tooltip="The plan to show."),
                io.Combo.Input("grid", options=["target", "preview"], default="target",
                               tooltip="target: one token for every 32x32 pixels. preview: the small grid that was "
                                       "generated first."),
                io.Int.Input("cell", default=16, min=1, max=64, tooltip="Side of a token's square in pixels."),
            ],
            outputs=[io.Image.Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, plan, grid, cell) -> io.NodeOutput:
        image = draw_grid(plan.grid(grid), cell)
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
