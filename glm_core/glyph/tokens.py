"""Texts → ByT5 ids: a byte is its own token."""

PAD, END, FIRST_BYTE = 0, 1, 3
VOCABULARY = 384
LONGEST = 2048  # ids of one text, the end included (diffusers, GlmImagePipeline max_sequence_length)


def byt5_ids(text: str) -> list[int]:
    """UTF-8 bytes + 3 and the end token, cut to 2048 ids. A literal ``</s>`` is spelled out, not taken as control."""
    return [byte + FIRST_BYTE for byte in text.encode()[: LONGEST - 1]] + [END]


def glyph_tokens(texts: list[str]) -> list[list[int]]:
    """Ids of every text. With an even number of texts each gets one leading pad, which the encoder does attend to.

    The odd rule is the reference's (diffusers, GlmImagePipeline._get_glyph_embeds tests the count of texts where
    it means their length), and the model was released with it.
    """
    lead = [PAD] if len(texts) % 2 == 0 else []
    return [lead + byt5_ids(text) for text in texts]
