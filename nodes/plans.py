"""Nodes that show plans, or change them without a model."""

from comfy_api.latest import io, ui
from comfy_execution.graph_utils import ExecutionBlocker

from ..glm_core.host.compat import search_aliases
from ..glm_core.plans import (
    GRIDS,
    MARKS,
    SUBJECTS,
    Look,
    compose,
    crop,
    draw_panels,
    join,
    pad,
    pixel_mask,
    read_indices,
    select,
    selected_region,
    take,
    token_table,
    uncertain_region,
)
from .plan_files import write_temporary_json
from .types import PLANS, Plan, Planner

SELECTION_WIDGET = "GLM_IMAGE_SELECTION"  # made by web/js/plan_preview.js


class GLMImagePlanPreview(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImagePlanPreview",
            display_name="GLM-Image Plan Preview",
            category=PLANS,
            **search_aliases("view plan", "show tokens", "confidence", "heatmap", "layout", "select region", "可视化",
                             "查看", "置信度"),
            description="Draws the tokens of a plan as coloured squares, or how certain the planner was of each. The "
                        "same token always has the same colour; with a planner connected, tokens that are alike have "
                        "similar colours. Point at a token in the drawing to see its id and probability; drag "
                        "over tokens to select them as a mask.",
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
                                       "dark violet (0.1 % or less) to yellow (100 %); for plans as the planner made "
                                       "them, not read from an image, cropped, composed or padded."),
                io.Combo.Input("marks", options=list(MARKS), default=MARKS[0], optional=True,
                               tooltip="Lines between the squares, and the numbers of rows and columns, counted from "
                                       "0. What would be too small to read is left out."),
                io.String.Input("selection", default="", optional=True, socketless=True,
                                extra_dict={"widgetType": SELECTION_WIDGET},
                                tooltip="The selected tokens. Drag over the drawing to select; Shift adds, Alt "
                                        "removes."),
            ],
            outputs=[io.Image.Output(), io.Mask.Output()],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, plan, grid, cell, planner=None, show=SUBJECTS[0], marks=MARKS[0], selection="") -> io.NodeOutput:
        region = selected_region(selection, *plan.ids.shape[1:])
        palette = None if planner is None else planner.code_colours
        picture, panels = draw_panels(plan, Look(grid, cell, show, marks), palette)
        tokens = write_temporary_json("glm_image_tokens", token_table(plan, picture, panels))
        shown = ui.PreviewImage(picture, cls=cls).as_dict() | {"glm_image_tokens": [tokens]}
        return io.NodeOutput(picture, pixel_mask(region), ui=shown)


class GLMImageSelectPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="GLMImageSelectPlan",
            display_name="GLM-Image Select Plan",
            category=PLANS,
            **search_aliases("pick", "index", "batch", "plan from batch", "挑选", "批次"),
            description="Picks plans from a batch, as Latent From Batch does with latents.",
            inputs=[
                Plan.Input("plan", tooltip="A batch of plans."),
                io.Int.Input("index", default=0, min=0, max=4095, tooltip="The first plan to take, counted from 0."),
                io.Int.Input("count", default=1, min=1, max=4096, tooltip="Number of plans to take."),
                io.String.Input("indices", optional=True, force_input=True,
                                tooltip="Indices of the plans to take, counted from 0, such as \"0, 3\"; replaces "
                                        "index and count. For instance from GLM-Image Read Text. If it is empty, "
                                        "nothing after this node runs."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, plan, index, count, indices=None):
        if indices is None:
            return io.NodeOutput(select(plan, index, count))
        items = read_indices(indices)
        return io.NodeOutput(take(plan, items)) if items else io.NodeOutput(ExecutionBlocker(None))


class GLMImageJoinPlans(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageJoinPlans",
            display_name="GLM-Image Join Plans",
            category=PLANS,
            **search_aliases("batch plans", "concatenate", "merge batches", "合批", "批次"),
            description="Joins two batches of plans of the same size into one. Chain these nodes to join more.",
            inputs=[
                Plan.Input("plan1", tooltip="The plans that come first."),
                Plan.Input("plan2", tooltip="The plans that come after them; of the same size."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, plan1, plan2) -> io.NodeOutput:
        return io.NodeOutput(join([plan1, plan2]))


class GLMImageCropPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageCropPlan",
            display_name="GLM-Image Crop Plan",
            category=PLANS,
            **search_aliases("cut", "slice", "region", "裁切", "截取"),
            description="Cuts a rectangle out of a plan.",
            inputs=[
                Plan.Input("plan", tooltip="The plan to cut from."),
                io.Int.Input("width", default=512, min=32, max=4096, step=32,
                             tooltip="Width of the rectangle in pixels, a multiple of 32."),
                io.Int.Input("height", default=512, min=32, max=4096, step=32,
                             tooltip="Height of the rectangle in pixels, a multiple of 32."),
                io.Int.Input("x", default=0, min=0, max=4064, step=32,
                             tooltip="Left edge of the rectangle in pixels, a multiple of 32."),
                io.Int.Input("y", default=0, min=0, max=4064, step=32,
                             tooltip="Top edge of the rectangle in pixels, a multiple of 32."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, plan, width, height, x, y) -> io.NodeOutput:
        return io.NodeOutput(crop(plan, x, y, width, height))


class GLMImageComposePlans(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageComposePlans",
            display_name="GLM-Image Compose Plans",
            category=PLANS,
            **search_aliases("composite", "paste", "merge", "combine", "collage", "拼接", "粘贴", "组合"),
            description="Pastes the tokens of one plan, or of a region of it, into another plan.",
            inputs=[
                Plan.Input("base", tooltip="The plan to paste into. The result has its size."),
                Plan.Input("other", tooltip="The plan whose tokens are pasted."),
                io.Int.Input("x", default=0, min=-4064, max=4064, step=32,
                             tooltip="Left edge of the pasted plan in the base, in pixels, a multiple of 32. What lies "
                                     "outside the base is cut off."),
                io.Int.Input("y", default=0, min=-4064, max=4064, step=32,
                             tooltip="Top edge of the pasted plan in the base, in pixels, a multiple of 32. What lies "
                                     "outside the base is cut off."),
                io.Mask.Input("mask", optional=True,
                              tooltip="The part of the other plan to paste. The mask may have any size; it is "
                                      "stretched to that plan. A token is pasted if the mask is at least 0.5 anywhere "
                                      "in its 32x32 pixels. If nothing is connected, the whole plan is pasted."),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, base, other, x, y, mask=None) -> io.NodeOutput:
        return io.NodeOutput(compose(base, other, x, y, mask))


class GLMImagePadPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImagePadPlan",
            display_name="GLM-Image Pad Plan",
            category=PLANS,
            **search_aliases("outpaint", "extend", "expand", "uncrop", "canvas", "扩图", "外扩", "扩展画布"),
            description="Adds room around a plan, for outpainting. The new cells have no tokens until GLM-Image Replan "
                        "fills them.",
            inputs=[
                Plan.Input("plan", tooltip="The plan to extend."),
                io.Int.Input("left", default=0, min=0, max=4064, step=32,
                             tooltip="Room to add on the left in pixels, a multiple of 32."),
                io.Int.Input("top", default=0, min=0, max=4064, step=32,
                             tooltip="Room to add at the top in pixels, a multiple of 32."),
                io.Int.Input("right", default=0, min=0, max=4064, step=32,
                             tooltip="Room to add on the right in pixels, a multiple of 32."),
                io.Int.Input("bottom", default=0, min=0, max=4064, step=32,
                             tooltip="Room to add at the bottom in pixels, a multiple of 32."),
            ],
            outputs=[Plan.Output(display_name="plan"), io.Mask.Output()],
        )

    @classmethod
    def execute(cls, plan, left, top, right, bottom) -> io.NodeOutput:
        padded, region = pad(plan, left, top, right, bottom)
        return io.NodeOutput(padded, pixel_mask(region))


class GLMImageUncertainRegion(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageUncertainRegion",
            display_name="GLM-Image Uncertain Region",
            category=PLANS,
            **search_aliases("confidence", "entropy", "auto mask", "weak spots", "置信度", "自动遮罩"),
            description="Marks the part of a plan that the planner was least certain of, for GLM-Image Replan.",
            inputs=[
                Plan.Input("plan", tooltip="A plan as the planner made it, not cropped, composed or padded since: such "
                                           "a plan stores the probability of every token."),
                io.Float.Input("share", default=0.15, min=0.01, max=1.0, step=0.01,
                               tooltip="How much of the image to mark. 0.1 marks a tenth of it."),
            ],
            outputs=[io.Mask.Output()],
        )

    @classmethod
    def execute(cls, plan, share) -> io.NodeOutput:
        return io.NodeOutput(pixel_mask(uncertain_region(plan, share)))
