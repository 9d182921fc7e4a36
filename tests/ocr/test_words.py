import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_core.ocr.words import edit_distance, normalise, pair_words, similarity

WORDS = st.text(alphabet="ABCO2", max_size=8)


@given(WORDS, WORDS, WORDS)
def test_edit_distance_is_a_metric(a, b, c):
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, b) == edit_distance(b, a)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))
    assert 0 <= similarity(a, b) <= 1


@given(WORDS, WORDS, WORDS)
def test_edit_distance_counts_insertions(a, b, c):
    assert edit_distance(a + c, a + b + c) == len(b)


def test_edit_distance_of_known_words():
    assert edit_distance("KITTEN", "SITTING") == 3
    assert similarity("OPEN", "OPFN") == 0.75


@given(st.text(alphabet=st.characters(max_codepoint=126)))
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text) == normalise(text.lower()) == normalise(f" {text}!")


@pytest.mark.parametrize("text, expected", [
    ("H e l l o,", "HELLO"), ("O0 1I|", "OOIII"), ("ＦＩ\uff17", "FI7"), ("Käse", "KÄSE"), ("你好！", "你好"),
    ("+ - ■", ""),
])
def test_normalise(text, expected):
    assert normalise(text) == expected


@given(st.lists(WORDS.filter(bool), max_size=5), st.randoms())
def test_words_are_found_in_any_order(words, rng):
    shuffled = rng.sample(words, len(words))
    assert all(word.right and word.ned == 1 for word in pair_words(words, shuffled))


def test_an_ocr_word_matches_one_wanted_word():
    first, second, third = pair_words(["OPEN", "OPEN", "SALE"], ["OPEN", "SALT", "XX"])
    assert (first.read, second.read, third.read) == ("OPEN", "", "SALT")
    assert (first.right, second.right, third.right) == (True, False, False)
    assert (first.ned, second.ned, third.ned) == (1, 0, 0.75)


def test_ties_go_to_the_first_wanted_and_the_first_read_word():
    first, second = pair_words(["AB", "AC"], ["AD", "AE"])
    assert (first.read, second.read) == ("AD", "AE")
    (only,) = pair_words(["AB"], ["AD", "AE"])
    assert only.read == "AD"
