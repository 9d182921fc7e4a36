import pytest
from hypothesis import given
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.glyph import DIFFUSERS, NATURAL, quoted_texts

UPSTREAM_TABLE = [  # checked by running diffusers 0.42.1
    ("a sign 'OPEN' and \"CLOSED\"", ["OPEN", "CLOSED"]),
    ("it's a dog that doesn't bark", ["s a dog that doesn"]),
    ("it's a 'cat'", ["s a "]),
    ("the dogs' bowl and cats' bed", [" bowl and cats"]),
    ("6'2\" tall and 5'11\" wide", ["2\" tall and 5", " tall and 5'11"]),
    ("unbalanced \"open", [""]),
    ("unbalanced 'x' and 'y", ["x"]),
    ("mix “a \"b\" c”", ["a \"b\" c", "b"]),
    ("\"\"", [""]),
    ("'a' \"b\" “c” 「d」", ["a", "c", "b", "d"]),
    ("‘no’ 『no』 «no» „no”", [""]),
]
NATURAL_TABLE = [
    ("it's a dog that doesn't bark", [""]),
    ("it's a 'cat'", ["cat"]),
    ("the dogs' bowl and cats' bed", [""]),
    ("a mug that says 'don't panic' in red", ["don't panic"]),
    ("6'2\" tall and 5'11\" wide, with \"HI\" on it", ["HI"]),
    ("写着'你好'的红纸和\"世界\"", ["你好", "世界"]),
    ("l'été dit 'Ça va'", ["Ça va"]),
    ("('A', 'B')", ["A", "B"]),
    ("'A'\n'B'", ["A", "B"]),
]


@pytest.mark.parametrize("prompt, texts", UPSTREAM_TABLE)
def test_reference_rules(prompt, texts):
    assert quoted_texts(prompt, DIFFUSERS) == texts


@pytest.mark.parametrize("prompt, texts", NATURAL_TABLE)
def test_natural_rules(prompt, texts):
    assert quoted_texts(prompt, NATURAL) == texts


words = st.text(st.characters(codec="utf-8", exclude_characters="'\"“”「」"), max_size=8)


@given(st.lists(st.tuples(st.sampled_from(["''", '""', "“”", "「」"]), words), max_size=5), words)
def test_both_rules_agree_when_every_quote_is_a_real_one(quotes, filler):
    prompt = f"{filler} " + "".join(f" {marks[0]}{text}{marks[1]} {filler} " for marks, text in quotes)
    by_style = [text for marks in ("''", "“”", '""', "「」") for m, text in quotes if m == marks]
    assert quoted_texts(prompt, DIFFUSERS) == quoted_texts(prompt, NATURAL) == (by_style or [""])


def test_unknown_rules_are_refused():
    with pytest.raises(GLMImageError, match=r"quotes must be one of reference, natural \(got 'smart'\)"):
        quoted_texts("x", "smart")
