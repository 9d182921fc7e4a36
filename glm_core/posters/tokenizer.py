"""The small model's tokenizer: common words whole, the letters of quoted words one by one."""

import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

from .scene import CELL_CODES, Style, caption, random_poster

CODES = len(CELL_CODES)
IMAGE_START, IMAGE_END = CODES, CODES + 1  # behind the codebook, as in the released vocabulary
VISUAL_IDS = CODES + 2
CONTROLS = ("<|endoftext|>", "<sop>", "<eop>", "<|image|>")
CAPTIONS = 2000
TEXT_WORDS = 600  # at most; more words than captions have


def make_tokenizer(seed: int = 0) -> Tokenizer:
    """Byte-pair encoding learned from captions. Capitals, digits and Chinese stand alone, so that words are spelled.

    Visual ids come first.
    """
    letters_apart = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex("[A-Z0-9\u4e00-\u9fff]"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = letters_apart
    rng = random.Random(seed)
    captions = (caption(random_poster(rng, style=Style(i % 2 > 0, i % 3 > 1))) for i in range(CAPTIONS))
    learned.train_from_iterator(captions, trainers.BpeTrainer(
        vocab_size=TEXT_WORDS, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))

    words = sorted(learned.get_vocab(), key=learned.get_vocab().get)
    merges = [tuple(merge) for merge in json.loads(learned.to_str())["model"]["merges"]]
    vocabulary = {f"<|dit_token_{i}|>": i for i in range(VISUAL_IDS)}
    vocabulary |= {word: VISUAL_IDS + i for i, word in enumerate(words)}
    vocabulary |= {name: VISUAL_IDS + len(words) + i for i, name in enumerate(CONTROLS)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = letters_apart
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in CONTROLS])
    return tokenizer
