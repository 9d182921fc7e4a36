"""Prompt text → the planner's token ids."""

import json

from tokenizers import Tokenizer

from ..errors import GLMImageError, check_text
from ..geometry import Grid


class PromptTokenizer:
    """The checkpoint's byte-pair encoding, but no text of the user's can become a control token.

    A literal ``<|image|>`` or ``<sop>`` in a prompt is encoded like any other text. Upstream takes it for a control
    token, and then fails or draws something else.

    tokenizer_json: the text of the checkpoint's tokenizer.json. Raises GLMImageError if it lacks a control token.
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
            raise GLMImageError(f"tokenizer.json must be the planner's own (this one lacks the control token {name})")
        return controls[name]

    def encode(self, text: str) -> list[int]:
        """Ids of a text as it is, without control tokens. Raises GLMImageError on unpaired surrogates."""
        check_text("prompt", text)
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_prompt(self, prompt: str, grids: list[Grid], image_start: int) -> list[int]:
        """Ids of ``prompt <sop>ROWS COLUMNS<eop> ... image_start``; ``grids`` in upstream's order, the target first.

        Source: transformers, GlmImageProcessor.prepare_inputs_layout.
        """
        ids = self.encode(prompt)
        for rows, columns in grids:
            ids += [self.grid_start, *self.encode(f"{rows} {columns}"), self.grid_end]
        return [*ids, image_start]
