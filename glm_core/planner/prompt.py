"""Prompt text → the planner's token ids."""

import json

from tokenizers import Tokenizer

from ..errors import GLMImageError, check_text


class PromptTokenizer:
    """The checkpoint's byte-pair encoding, with every control token taken out of reach of the user's text.

    ``tokenizer_json``: text of the checkpoint's tokenizer.json. Without its added tokens a literal ``<|image|>``
    or ``<sop>`` in a prompt is spelled out like any other text, where the reference takes it as control
    and fails or is steered by it.
    """

    def __init__(self, tokenizer_json: str):
        data = json.loads(tokenizer_json)
        controls = {token["content"]: token["id"] for token in data.get("added_tokens", [])}
        self.grid_start, self.grid_end = (self._control(controls, name) for name in ("<sop>", "<eop>"))
        self.tokenizer = Tokenizer.from_str(json.dumps(
            {**data, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None}))

    @staticmethod
    def _control(controls: dict[str, int], name: str) -> int:
        if name not in controls:
            raise GLMImageError(f"tokenizer.json must be the planner's own (it lacks the control token {name})")
        return controls[name]

    def encode(self, text: str) -> list[int]:
        """Raises GLMImageError on unpaired surrogates."""
        check_text("prompt", text)
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def layout(self, prompt: str, grids: list[tuple[int, int]], image_start: int) -> list[int]:
        """Ids of ``prompt <sop>H W<eop> ... start``; ``grids`` in the reference's order, the target first.

        Source: transformers, GlmImageProcessor.prepare_inputs_layout.
        """
        ids = self.encode(prompt)
        for rows, columns in grids:
            ids += [self.grid_start, *self.encode(f"{rows} {columns}"), self.grid_end]
        return [*ids, image_start]
