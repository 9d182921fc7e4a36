import random
from dataclasses import replace

from glm_core.posters import HELD_OUT_WORDS, PAIR_OF, with_pair
from tests.posters.samples import IN_CHINESE, ON_GRID


def letters_of(poster) -> str:
    return "".join(word.text for word in poster.words)


def test_one_changed_letter_gives_a_poster_both_letters_of_a_pair():
    for i, poster in enumerate((*ON_GRID, *IN_CHINESE)):
        paired = with_pair(random.Random(i), poster, HELD_OUT_WORDS)
        before, after = letters_of(poster), letters_of(paired)
        changed = [letter for letter, old in zip(after, before, strict=True) if letter != old]
        assert len(changed) <= 1 and all(set(PAIR_OF[letter]) <= set(after) for letter in changed)
        assert replace(paired, items=poster.items) == poster
    is_changed = [with_pair(random.Random(i), poster, HELD_OUT_WORDS) != poster for i, poster in enumerate(ON_GRID)]
    assert sum(is_changed) > 200
