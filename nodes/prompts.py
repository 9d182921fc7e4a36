"""Nodes about prompts, which need no model."""

from comfy_api.latest import io, ui

from ..glm_core.glyph import check_prompt, rewrite_instructions
from ..glm_core.host.compat import search_aliases
from .loaders import quotes_input
from .types import TEXT


class GLMImagePromptCheck(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="GLMImagePromptCheck",
            display_name="GLM-Image Prompt Check",
            category=TEXT,
            **search_aliases("quotes", "quotation marks", "lint", "enhance prompt", "rewrite prompt", "llm", "引号",
                             "提示词优化", "改写"),
            description="Shows which texts of a prompt will be written in the image, and warns of what may go wrong: "
                        "text requested without quotation marks, unpaired quotation marks, texts that are too long or "
                        "too many.",
            inputs=[
                io.String.Input("prompt", multiline=True, dynamic_prompts=False, tooltip="The prompt to check."),
                quotes_input(),
                io.String.Input("original", optional=True, force_input=True, dynamic_prompts=False,
                                tooltip="The prompt before a language model rewrote it. The report then names every "
                                        "quoted text that was lost or changed."),
            ],
            outputs=[
                io.String.Output(display_name="prompt", tooltip="The same prompt, for GLM-Image Plan."),
                io.String.Output(display_name="report", tooltip="The quoted texts, and a line for each problem found."),
                io.String.Output(display_name="instructions",
                                 tooltip="A prompt for a language model: it asks for a richer description that leaves "
                                         "the quoted texts alone. Connect it to the prompt of any LLM node."),
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, prompt, quotes, original=None) -> io.NodeOutput:
        report = "\n".join(check_prompt(prompt, quotes, original).lines())
        return io.NodeOutput(prompt, report, rewrite_instructions(prompt, quotes), ui=ui.PreviewText(report))
