"""Which of several plans or images are good."""

from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ..glm_core.errors import GLMImageError
from ..glm_core.geometry import check_range
from ..glm_core.glyph import quoted_texts_of_all
from ..glm_core.host.compat import search_aliases
from ..glm_core.host.reading import read_images, to_images
from ..glm_core.host.text import show_text
from ..glm_core.images import replace_images
from ..glm_core.ocr import annotate, rank_readings, wrong_pictures
from ..glm_core.planner import score_plans
from ..glm_core.plans import (
    best_plans,
    common_prompt,
    describe,
    one_prompt,
    read_indices,
    score_items,
    take,
    to_indices,
)
from .planner import references_input
from .types import PLANS, TEXT, Plan, Planner


def ranking_output() -> io.String.Output:
    return io.String.Output(display_name="ranking", tooltip="One line for each candidate, best first, with its score.")


class GLMImageBestPlans(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageBestPlans",
            display_name="GLM-Image Best Plans",
            category=PLANS,
            **search_aliases("best of n", "rank", "score", "likelihood", "log probability", "pick best", "择优",
                             "打分", "排序"),
            description="Keeps the plans that the planner itself considers most likely. This costs nothing, since a "
                        "plan stores the probability of every token. Background does not count.",
            inputs=[
                Plan.Input("plan", tooltip="A batch of plans for one prompt."),
                io.Int.Input("keep", default=1, min=0, max=64,
                             tooltip="Number of plans to keep. With 0, nothing after this node runs."),
                Planner.Input("planner", optional=True,
                              tooltip="If connected, computes the probabilities again. Needed only for plans that "
                                      "store none, or to judge by another prompt."),
                io.String.Input("prompt", optional=True, force_input=True,
                                tooltip="The prompt by which a connected planner judges; without it, the plan's own."),
                references_input("The reference images that the plans were made with; used only by a connected "
                                 "planner."),
            ],
            outputs=[Plan.Output(display_name="best"), ranking_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, plan, keep, planner=None, prompt=None, references=()) -> io.NodeOutput:
        if keep == 0:
            return io.NodeOutput(ExecutionBlocker(None), "")
        if planner is not None:
            tokens = [reference.tokens for reference in references]
            judged = one_prompt(plan.origins) if prompt is None else prompt
            plan = score_plans(planner.writer(), plan, judged, tokens)
        best, scores = best_plans(plan, keep)
        ranking = describe(plan, scores, keep)
        return io.NodeOutput(best, ranking, ui=show_text(cls, ranking))


class GLMImageReadText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageReadText",
            display_name="GLM-Image Read Text",
            category=TEXT,
            **search_aliases("ocr", "recognise text", "recognize text", "spell check", "text accuracy", "文字识别",
                             "错字"),
            description="Reads the text in images by OCR and compares it with the text that the prompt quotes. Needs "
                        "the Python packages rapidocr and onnxruntime.",
            inputs=[
                io.Image.Input("image", tooltip="The images to read."),
                io.String.Input("prompt", multiline=True, dynamic_prompts=False,
                                tooltip="Its quoted texts should be in every image."),
            ],
            outputs=[
                io.String.Output(display_name="report"),
                io.Float.Output(display_name="accuracy", tooltip="Share of the quoted words that were read correctly, "
                                                                 "0 to 1."),
                io.Image.Output(display_name="annotated", tooltip="A box round every text: green if the prompt quotes "
                                                                  "it, otherwise red."),
                io.String.Output(display_name="wrong", tooltip="Indices of the images with a wrong word, counted from "
                                                               "0, such as \"0, 3\"; empty if all are right."),
                io.Int.Output(display_name="count", tooltip="Number of images with a wrong word."),
            ],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, image, prompt) -> io.NodeOutput:
        pictures, readings = read_images(image, quoted_texts_of_all(prompt))
        report = "\n".join(f"- image {i}: {reading.line()}" for i, reading in enumerate(readings))
        annotated = to_images([annotate(pixels, reading) for pixels, reading in zip(pictures, readings)])
        accuracy, wrong = sum(reading.accuracy for reading in readings) / len(readings), wrong_pictures(readings)
        return io.NodeOutput(report, accuracy, annotated, to_indices(wrong), len(wrong), ui=show_text(cls, report))


class GLMImageBestImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageBestImages",
            display_name="GLM-Image Best Images",
            category=TEXT,
            **search_aliases("best of n", "ocr", "rank", "pick best", "文字识别", "择优", "挑选"),
            description="Keeps the images with the most quoted words right, as read by OCR. On a tie, the closer "
                        "spelling wins, then the plan that the planner considers more likely. Needs the Python "
                        "packages rapidocr and onnxruntime.",
            inputs=[
                io.Image.Input("images", tooltip="A batch of images for one prompt."),
                Plan.Input("plan", tooltip="The plans that the images were drawn from, one for each, in the same "
                                           "order."),
                io.Int.Input("keep", default=1, min=1, max=64, tooltip="Number of images to keep."),
                io.String.Input("prompt", optional=True, force_input=True,
                                tooltip="Its quoted texts should be in every image; without it, the plan's own."),
            ],
            outputs=[io.Image.Output(display_name="best"), Plan.Output(display_name="plan"), ranking_output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, images, plan, keep, prompt=None) -> io.NodeOutput:
        if len(images) != plan.batch:
            raise GLMImageError(f"images and plans must be equal in number (got {len(images)} and {plan.batch})")
        check_range("keep", keep, 1, plan.batch)
        shown = common_prompt(plan.origins) if prompt is None else prompt
        _, readings = read_images(images, quoted_texts_of_all(shown))
        likelihoods = [0.0] * plan.batch if plan.log_probs is None else [score.mean for score in score_items(plan)]
        order = rank_readings(readings, likelihoods)
        probable = ["" if plan.log_probs is None else f"; mean log-probability {mean:.3f}" for mean in likelihoods]
        ranking = "\n".join(f"{i}. image {number}: {readings[number].line()}{probable[number]}"
                            for i, number in enumerate(order, 1))
        best = order[:keep]
        return io.NodeOutput(images[best], take(plan, best), ranking, ui=show_text(cls, ranking))


class GLMImageReplaceImages(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImageReplaceImages",
            display_name="GLM-Image Replace Images",
            category=TEXT,
            **search_aliases("batch", "swap", "insert", "redo", "批次", "替换"),
            description="Replaces some images of a batch. If none are to be replaced, the nodes that make the new "
                        "images do not run.",
            inputs=[
                io.Image.Input("images", tooltip="The batch of images."),
                io.String.Input("indices", force_input=True,
                                tooltip="Indices of the images to replace, counted from 0, such as \"0, 3\"."),
                io.Image.Input("replacements", lazy=True, tooltip="The new images, one for each index, of the same "
                                                                  "size."),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def check_lazy_status(cls, images, indices, replacements=None) -> list[str]:
        return ["replacements"] if read_indices(indices) and replacements is None else []

    @classmethod
    def execute(cls, images, indices, replacements=None) -> io.NodeOutput:
        numbers = read_indices(indices)
        if replacements is None:  # there are none to replace, see check_lazy_status
            return io.NodeOutput(images)
        return io.NodeOutput(replace_images(images, numbers, replacements))
