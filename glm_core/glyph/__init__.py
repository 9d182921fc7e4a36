"""The glyph encoder: the quoted texts of a prompt, spelled byte by byte for the decoder."""

from .encoder import GlyphConfig, GlyphEncoder, encode_texts
from .quotes import NATURAL, QUOTE_RULES, REFERENCE, quoted_texts
from .tokens import VOCABULARY, glyph_tokens

__all__ = ["NATURAL", "QUOTE_RULES", "REFERENCE", "VOCABULARY", "GlyphConfig", "GlyphEncoder", "encode_texts",
           "glyph_tokens", "quoted_texts"]
