"""The glyph encoder as a ComfyUI CLIP."""

from functools import partial
from types import SimpleNamespace

import comfy.model_management
import comfy.ops
import comfy.sd
import comfy.utils
import torch
from torch import Tensor, nn

from ..checkpoint import GLYPH, fill
from ..errors import GLMImageError
from ..glyph import NATURAL, VOCABULARY, GlyphConfig, GlyphEncoder, encode_texts, glyph_tokens, quoted_texts_of_all
from .loading import read_whole_weights, saved_config

QUOTES_OPTION = "quotes"


class GlyphTokenizer:
    """The tokenizer of a ComfyUI CLIP: finds the quoted texts of a prompt, or of several with PROMPT_SEPARATOR
    between them. Parentheses are characters, not weights."""

    def __init__(self, config: GlyphConfig, embedding_directory: str | None = None, tokenizer_data: dict = {}):
        self.config = config

    def tokenize_with_weights(self, text: str, return_word_ids: bool = False, tokenizer_options: dict = {},
                              **kwargs) -> dict[str, list[list[tuple[int, float]]]]:
        """Pairs (id, weight 1) of each quoted text."""
        texts = quoted_texts_of_all(text, tokenizer_options.get(QUOTES_OPTION, NATURAL))
        return {"glyph": [[(token, 1.0) for token in ids] for ids in glyph_tokens(texts)]}

    def untokenize(self, pairs: list[tuple[int, float]]) -> list[tuple[tuple[int, float], str]]:
        return [(pair, chr(pair[0])) for pair in pairs]

    def state_dict(self) -> dict:
        """What CLIPSave and CheckpointSave write beside the weights."""
        return saved_config(GLYPH, self.config)


class GlyphClipModel(nn.Module):
    """The text model of a ComfyUI CLIP, around the glyph encoder."""

    def __init__(self, config: GlyphConfig, source: str, dtype=None, device=None, model_options: dict = {}):
        super().__init__()
        operations = model_options.get("custom_operations", comfy.ops.manual_cast)
        self.transformer = GlyphEncoder(config, device, dtype, operations)
        self.source, self.dtypes, self.can_assign_sd = source, {dtype}, False
        self.reset_clip_options()

    def reset_clip_options(self) -> None:
        self.execution_device = None

    def set_clip_options(self, options: dict) -> None:
        self.execution_device = options.get("execution_device", self.execution_device)

    def encode_token_weights(self, pairs: dict) -> tuple[Tensor, None]:
        """Embeddings float32 [1, n, d_model] of what ``GlyphTokenizer`` gave, and no pooled output."""
        tokens = [[pair[0] for pair in text] for text in pairs["glyph"]]
        embeddings = encode_texts(self.transformer, tokens, self.execution_device, torch.float32)
        return embeddings.to(comfy.model_management.intermediate_device()), None

    def load_sd(self, tensors: dict[str, Tensor]) -> tuple[list[str], list[str]]:
        """Missing and unexpected keys, of which there are none: ``fill`` raises GLMImageError instead."""
        fill(self.transformer, tensors, self.source, assign=self.can_assign_sd)
        return [], []


def load_glyph_encoder(path: str, quotes: str = NATURAL) -> comfy.sd.CLIP:
    """A CLIP whose conditioning is the embeddings of the quoted texts. quotes: the rules that find them.

    Raises GLMImageError if the file is not a GLM-Image glyph encoder.
    """
    weights = read_whole_weights(path, GLYPH)
    config = GlyphConfig.from_json(weights.config, weights.source)
    if config.vocab_size != VOCABULARY:
        raise GLMImageError(f"{weights.source}: vocab_size must be {VOCABULARY}, as in ByT5 (got {config.vocab_size})")
    target = SimpleNamespace(clip=GlyphClipModel, tokenizer=partial(GlyphTokenizer, config),
                             params={"config": config, "source": weights.source})
    clip = comfy.sd.CLIP(target, parameters=comfy.utils.calculate_parameters(weights.tensors),
                         state_dict=[weights.tensors],
                         model_options={"dtype": comfy.utils.weight_dtype(weights.tensors)})
    clip.set_tokenizer_option(QUOTES_OPTION, quotes)
    return clip
