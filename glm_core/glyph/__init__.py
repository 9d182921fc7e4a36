"""The glyph encoder: the quoted texts of a prompt, spelled byte by byte for the decoder."""

from .check import PromptReport, check_prompt
from .encoder import GlyphConfig, GlyphEncoder, encode_texts
from .findings import Finding
from .quotes import DIFFUSERS, NATURAL, QUOTE_RULES, quoted_texts, quoted_texts_of_all
from .rewrite import rewrite_instructions
from .tokens import VOCABULARY, glyph_tokens

__all__ = ["DIFFUSERS", "NATURAL", "QUOTE_RULES", "VOCABULARY", "Finding", "GlyphConfig", "GlyphEncoder",
           "PromptReport", "check_prompt", "encode_texts", "glyph_tokens", "quoted_texts", "quoted_texts_of_all",
           "rewrite_instructions"]
