"""The glyph encoder: the quoted texts of a prompt, spelled byte by byte for the decoder."""

from .encoder import GlyphConfig, GlyphEncoder, encode_texts
from .quotes import DIFFUSERS, NATURAL, QUOTE_RULES, quoted_texts, quoted_texts_of_all
from .tokens import VOCABULARY, glyph_tokens

__all__ = ["DIFFUSERS", "NATURAL", "QUOTE_RULES", "VOCABULARY", "GlyphConfig", "GlyphEncoder", "encode_texts",
           "glyph_tokens", "quoted_texts", "quoted_texts_of_all"]
