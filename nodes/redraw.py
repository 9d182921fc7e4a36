"""Plans in steps: draft and finish, replan a region, repair."""

from comfy_api.latest import io
from torch import Tensor

from ..glm_core.geometry import check_batch_size
from ..glm_core.host.compat import search_aliases
from ..glm_core.planner import MARGIN, Sampling, draft_plans, finish_plans, repair, replan
from ..glm_core.plans import Plan as PlanValue
from ..glm_core.plans import pixel_mask, token_region
from .planner import references_input, sampling_inputs, side_inputs
from .types import PLANS, Plan, Planner

PROMPT_HELP = "Put text that should appear in the image in quotation marks."


def prompt_input(tooltip: str) -> io.String.Input:
    return io.String.Input("prompt", multiline=True, dynamic_prompts=False, tooltip=f"{tooltip} {PROMPT_HELP}")


def seed_input() -> io.Int.Input:
    return io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF, control_after_generate=True,
                        tooltip="Plan i of the batch, counted from 0, is generated with seed + i.")


def changed_outputs(what: str) -> list[io.Output]:
    return [Plan.Output(display_name="plan"),
            io.Mask.Output(display_name="mask", tooltip=f"{what}, for Set Latent Noise Mask.")]


def changed_cells(old: PlanValue, new: PlanValue) -> Tensor:
    """Those whose tokens differ, bool [B, h, w], on the CPU."""
    return new.ids.cpu() != old.ids.cpu()


class GLMImageDraftPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageDraftPlan",
            display_name="GLM-Image Draft Plan",
            category=PLANS,
            **search_aliases("sketch", "layout", "composition", "low resolution", "variants", "草图", "布局", "构图"),
            description="Generates only preview grids, the small grids that fix the layout, several at once. GLM-Image "
                        "Finish Plan continues those you choose. A draft is itself a plan, of about half the size "
                        "(512x512 for 1024x1024), and can be rendered like any plan.",
            inputs=[
                Planner.Input("planner", tooltip="The planner that reads the prompt."),
                prompt_input("What to draw."),
                *side_inputs(),
                io.Int.Input("count", default=8, min=1, max=64, tooltip="Number of drafts."),
                seed_input(), *sampling_inputs(),
            ],
            outputs=[Plan.Output(display_name="draft")],
        )

    @classmethod
    def execute(cls, planner, prompt, width, height, count, seed, **sampling) -> io.NodeOutput:
        check_batch_size(count)
        return io.NodeOutput(draft_plans(planner.writer(), prompt, width, height, batch=count, seed=seed,
                                         sampling=Sampling(**sampling)))


class GLMImageFinishPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageFinishPlan",
            display_name="GLM-Image Finish Plan",
            category=PLANS,
            **search_aliases("complete draft", "continue", "refine", "upscale draft", "完善", "细化"),
            description="Completes drafts into whole plans, each with its draft's prompt, size and seed. With the same "
                        "settings, drafting and finishing give the same plan as GLM-Image Plan.",
            inputs=[
                Planner.Input("planner", tooltip="The planner that made the drafts."),
                Plan.Input("draft", tooltip="Drafts from GLM-Image Draft Plan. To finish only some of a batch, choose "
                                            "them with GLM-Image Select Plan."),
                *sampling_inputs(),
            ],
            outputs=[Plan.Output(display_name="plan")],
        )

    @classmethod
    def execute(cls, planner, draft, **sampling) -> io.NodeOutput:
        return io.NodeOutput(finish_plans(planner.writer(), draft, sampling=Sampling(**sampling)))


class GLMImageReplan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        rows, columns = MARGIN
        return io.Schema(
            node_id="GLMImageReplan",
            display_name="GLM-Image Replan",
            category=PLANS,
            **search_aliases("inpaint", "outpaint", "regenerate", "redraw", "edit region", "局部重绘", "扩图", "外扩",
                             "修改区域"),
            description="Plans the masked part of an image again and keeps the rest. Also fills the room that "
                        "GLM-Image Pad Plan added.",
            inputs=[
                Planner.Input("planner", tooltip="The planner that reads the prompt."),
                Plan.Input("plan", tooltip="The plan to change."),
                io.Mask.Input("mask", tooltip="Where to plan again: every token whose 32x32 pixels the mask touches. "
                                              "The mask may have any size; it is stretched to the image."),
                prompt_input("Describe the whole image as it should become, including what stays. If a padded plan is "
                             "larger than the model was trained for, describe only what is to be added."),
                seed_input(), *sampling_inputs(),
                io.Int.Input("margin_x", default=columns, min=0, max=128, optional=True,
                             tooltip="How many tokens to the left and right of the mask may change if the new prompt "
                                     "makes them unlikely. Text needs a few."),
                io.Int.Input("margin_y", default=rows, min=0, max=128, optional=True,
                             tooltip="How many tokens above and below the mask may change if the new prompt makes them "
                                     "unlikely."),
                references_input(),
            ],
            outputs=changed_outputs("The masked part and all other pixels whose tokens changed"),
        )

    @classmethod
    def execute(cls, planner, plan, mask, prompt, seed, margin_x=MARGIN[1], margin_y=MARGIN[0], references=(),
                **sampling) -> io.NodeOutput:
        region = token_region(mask, *plan.ids.shape)
        tokens = [reference.tokens for reference in references]
        new = replan(planner.writer(), plan, region, prompt, seed=seed, sampling=Sampling(**sampling),
                     margin=(margin_y, margin_x), references=tokens)
        # a token may leave a letter to the quoted text: it stays although the word changed
        return io.NodeOutput(new, pixel_mask(region | changed_cells(plan, new)))


class GLMImageRepairPlan(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageRepairPlan",
            display_name="GLM-Image Repair Plan",
            category=PLANS,
            **search_aliases("fix text", "fix letters", "correct", "typo", "错字", "修正"),
            description="Samples again only those tokens that the planner itself finds unlikely. Fixes many wrong "
                        "letters in plans made at a high temperature.",
            inputs=[
                Planner.Input("planner", tooltip="The planner that reads the prompt."),
                Plan.Input("plan", tooltip="The plan to repair."),
                prompt_input("The prompt that the plan was made for."),
                seed_input(), *sampling_inputs(), references_input("The reference images that the plan was made with."),
            ],
            outputs=changed_outputs("The pixels whose tokens changed"),
        )

    @classmethod
    def execute(cls, planner, plan, prompt, seed, references=(), **sampling) -> io.NodeOutput:
        tokens = [reference.tokens for reference in references]
        new = repair(planner.writer(), plan, prompt, seed=seed, sampling=Sampling(**sampling), references=tokens)
        return io.NodeOutput(new, pixel_mask(changed_cells(plan, new)))
