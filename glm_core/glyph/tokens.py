"""Texts → ByT5 ids: every byte is a token."""
from ..errors import check_text

PAD, END, FIRST_BYTE = 0, 1, 3
VOCABULARY = 384
MAX_IDS = 2048  # of one text, including the end token (diffusers, GlmImagePipeline max_sequence_length)


def byt5_ids(text: str) -> list[int]:
    """UTF-8 bytes + 3, then the end token; at most 2048 ids. A literal ``</s>`` is spelled out like any text.

    Raises GLMImageError on unpaired surrogates.
    """
    check_text("quoted text", text)
    return [byte + FIRST_BYTE for byte in text.encode()[: MAX_IDS - 1]] + [END]


def glyph_tokens(texts: list[str]) -> list[list[int]]:
    """Ids of every text. With an even number of texts each starts with a padding token, which the encoder attends to.

    This odd rule is upstream's, and the model was released with it: diffusers' GlmImagePipeline._get_glyph_embeds tests
    the number of texts, though it means their length.
    """
    padding = [PAD] if len(texts) % 2 == 0 else []
    return [padding + byt5_ids(text) for text in texts]
