"""Prompt text → the planner's token ids."""

import json
from typing import Any

from tokenizers import Tokenizer

from ..errors import GLMImageError, check_text
from ..files import parse_json, reason
from ..geometry import Grid


class PromptTokenizer:
    """The checkpoint's byte-pair encoding, but no text of the user's can become a control token.

    A literal ``<|image|>`` or ``<sop>`` in a prompt is encoded like any other text. Upstream takes it for a control
    token, and then fails or draws something else.

    tokenizer_json: the text of the checkpoint's tokenizer.json. Raises GLMImageError if it lacks a control token.
    """

    def __init__(self, tokenizer_json: str):
        data = parse_json(tokenizer_json, "tokenizer.json")
        controls = control_tokens(data)
        self.grid_start, self.grid_end = (self._control(controls, name) for name in ("<sop>", "<eop>"))
        bare = {**data, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
        try:
            self.tokenizer = Tokenizer.from_str(json.dumps(bare))
        except Exception as error:  # the library raises no other kind
            raise GLMImageError(f"tokenizer.json cannot be read ({reason(error)})") from error

    @staticmethod
    def _control(controls: dict[str, int], name: str) -> int:
        if name not in controls:
            raise GLMImageError(f"tokenizer.json must be the planner's own (this one lacks the control token {name})")
        return controls[name]

    def check_vocabulary(self, size: int, source: str) -> None:
        """Raise GLMImageError if an id is not one of the planner's ``size`` ids."""
        largest = max(self.grid_start, self.grid_end, *self.tokenizer.get_vocab().values())
        if largest >= size:
            raise GLMImageError(f"{source}: ids of its tokenizer must be below vocab_size {size} (got {largest})")

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


def control_tokens(data: dict) -> dict[str, int]:
    """Ids of the added tokens. Raises GLMImageError if they are no list of texts and ids."""
    tokens = data.get("added_tokens") or []
    is_list = isinstance(tokens, list) and all(isinstance(token, dict) for token in tokens)
    if not is_list or not all(isinstance(token.get("content"), str) and is_id(token.get("id")) for token in tokens):
        raise GLMImageError("tokenizer.json: added_tokens must be a list of objects with content and id")
    return {token["content"]: token["id"] for token in tokens}


def is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**31
