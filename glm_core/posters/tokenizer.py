"""The embedded model's tokenizer: common words are one token, quoted words one token per letter."""

import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

from .captions import caption
from .codebook import CODEBOOK_SIZE
from .random_posters import random_poster
from .scene import Style

IMAGE_START, IMAGE_END = CODEBOOK_SIZE, CODEBOOK_SIZE + 1  # after the codebook, as in the released vocabulary
VISUAL_IDS = CODEBOOK_SIZE + 2
CONTROLS = ("<|endoftext|>", "<sop>", "<eop>", "<|image|>")
CAPTIONS = 2000  # to learn the vocabulary from
MAX_TEXT_TOKENS = 600  # more than captions need


def make_pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Capitals, digits and Chinese characters are split off one by one, so that words are spelled."""
    spelled = pre_tokenizers.Split(Regex("[A-Z0-9\u4e00-\u9fff]"), "isolated")
    return pre_tokenizers.Sequence([spelled, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])


def learn_text_tokens(seed: int) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens, in the order of their ids, and merges of a byte-pair encoding learned from captions."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = make_pre_tokenizer()
    rng = random.Random(seed)
    captions = [caption(random_poster(rng, style=Style(i % 2 > 0, i % 3 > 1))) for i in range(CAPTIONS)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=MAX_TEXT_TOKENS, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(captions, trainer)
    ids = tokenizer.get_vocab()
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return sorted(ids, key=lambda token: ids[token]), [(left, right) for left, right in merges]


def make_tokenizer(seed: int = 0) -> Tokenizer:
    """A byte-pair tokenizer. Its ids in order: codebook, image start and end, text tokens, control tokens."""
    text_tokens, merges = learn_text_tokens(seed)
    visual_tokens = [f"<|dit_token_{i}|>" for i in range(VISUAL_IDS)]
    vocabulary = {token: i for i, token in enumerate([*visual_tokens, *text_tokens, *CONTROLS])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = make_pre_tokenizer()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROLS])
    return tokenizer
