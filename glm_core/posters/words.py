"""The words of posters: their characters, random words, and posters with some words changed."""

import random
from dataclasses import replace

from .scene import Item, Poster, replace_item

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ23456789"  # without 0 and 1, which OCR confuses with O and I
CHINESE = "春日夏月秋山冬水火花木鸟风星雪雨天画地书茶酒门店"
CHARACTERS = LETTERS + CHINESE
PAIRS = [CHARACTERS[i : i + 2] for i in range(0, len(CHARACTERS), 2)]  # both letters of a pair are rarely in one word
PAIR_OF = {letter: pair for pair in PAIRS for letter in pair}
ALIKE = "CD", "EF"  # pairs that differ in too few pixels for the decoder to learn them from the glyphs
VOWELS, VOWEL_SHARE = "AEIOU", 0.2  # share of letters that are vowels on purpose, so that words look like words


def random_letter(rng: random.Random, chinese: bool) -> str:
    if chinese:
        return rng.choice(CHINESE)
    return rng.choice(VOWELS if rng.random() < VOWEL_SHARE else LETTERS)


def random_word(rng: random.Random, length: int, held_out: frozenset[str] = frozenset(), chinese: bool = False) -> str:
    """A word of ``length`` random letters or Chinese characters, never one of the words in ``held_out``."""
    while True:
        word = "".join(random_letter(rng, chinese) for _ in range(length))
        if word not in held_out:
            return word


def with_words(poster: Poster, words: list[str]) -> Poster:
    """The poster with other words, which must have the lengths of its own words, in any order."""
    old_words = sorted(poster.words, key=lambda word: len(word.text))
    new_texts = dict(zip(old_words, sorted(words, key=len), strict=True))
    items = [item if item.kind else replace(item, text=new_texts[item]) for item in poster.items]
    return replace(poster, items=tuple(items))


def with_pair(rng: random.Random, poster: Poster, held_out: frozenset[str]) -> Poster:
    """The poster with one letter changed so that its words contain both letters of a pair, which is rare by chance.

    Unchanged if it has fewer than two letters, or if the changed word is in ``held_out``.
    """
    letters: list[tuple[Item, int]] = [(word, i) for word in poster.words for i in range(len(word.text))]
    if len(letters) < 2:
        return poster
    (word, i), (other, j) = rng.sample(letters, 2)
    partner = PAIR_OF[other.text[j]].replace(other.text[j], "")
    changed = word.text[:i] + partner + word.text[i + 1 :]
    return poster if changed in held_out else replace_item(poster, word, replace(word, text=changed))
