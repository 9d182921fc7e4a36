import logging
import re
from time import process_time

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from glm_core.errors import GLMImageError
from glm_core.glyph import DIFFUSERS, NATURAL, quoted_texts, quoted_texts_of_all
from glm_core.plans import PROMPT_SEPARATOR

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
PLAIN_TABLE = [
    ("", []),
    ("a red circle", []),
    ("a sign 'OPEN'", ["OPEN"]),
    ('a sign "OPEN"', ["OPEN"]),
    ("a sign “OPEN”", ["OPEN"]),
    ("招牌「营业中」", ["营业中"]),
    ("'A'\n'B'", ["A", "B"]),
    ('a "two\nlines" poster', ["two\nlines"]),
    ("('A', 'B')", ["A", "B"]),
    ('""', [""]),
    ('say"HI"now', ["HI"]),
    ("'a' \"b\" “c” 「d」", ["a", "c", "b", "d"]),
    ('mix “a "b" c”', ['a "b" c', "b"]),
    ("写着'你好'的红纸和\"世界\"", ["你好", "世界"]),
    ("品牌Nike'运动'", ["运动"]),
    ("先'打蛋'OK", ["打蛋"]),
    ("'안녕'이라고 쓴 간판", ["안녕"]),
    ("ป้าย'เปิด'สีแดง", ["เปิด"]),
]
APOSTROPHE_TABLE = [
    ("it's a dog that doesn't bark", []),
    ("it's a 'cat'", ["cat"]),
    ("the dogs' bowl and cats' bed", []),
    ("a mug that says 'don't panic' in red", ["don't panic"]),
    ("l'été dit 'Ça va'", ["Ça va"]),
    ("rock 'n' roll", []),
    ("Rock 'N' Roll poster 'LIVE'", ["LIVE"]),
    ("rock ’n’ roll", []),
    ("rock ‘n’ roll", []),
    ("rock'n'roll", []),
    ("a sign 'N'", ["N"]),
    ("the letter 'N' in red", ["N"]),
    ("a '90s poster that says 'HI'", ["HI"]),
    ("a ’90s poster that says ’HI’", ["HI"]),
    ("it’s a dog that doesn’t bark", []),
    ("the dogs’ bowl and cats’ bed", []),
    ("it’s a ‘don’t panic’ mug", ["don’t panic"]),
    ("свіжа м'ята і п'ять яблук", []),
    ("м'ята з написом 'м'ята'", ["м'ята"]),
    ("צ'יפס וג'ירפה", []),
    ("חייל צה\"ל ליד דו\"ח", []),
    ("שלט \"צה\"ל\" כאן", ["צה\"ל"]),
    ("שלט ה\"שלום\" של צה\"ל", ["שלום"]),
    ("τ'αγόρι και τ'όνομα", []),
    ("մ'եկ և մ'եկ", []),
    ("ქართ'ული და ქართ'ული", []),
    ("हिन्दी'में और हिन्दी'में", []),
    ("कि'ताब की'मत", []),
    ("Hawai‘i and O‘zbek", []),
]
INCH_TABLE = [
    ("6'2\" tall and 5'11\" wide, with \"HI\" on it", ["HI"]),
    ('a 24" monitor that shows "HI"', ["HI"]),
    ('a 5"x7" photo', []),
    ('a 5½" screen that says "HI"', ["HI"]),
    ("a 5” pipe by a 6” wall “HI”", ["HI"]),
    ('一台27"显示器，屏幕上写着"你好"', ["你好"]),
    ('27"显示器和32"电视，写着"你好"', ["你好"]),
    ('步骤1"打蛋"，步骤2"搅拌"', ["打蛋", "搅拌"]),
    ("步骤1'打蛋'，步骤2'搅拌'", ["打蛋", "搅拌"]),
    ("步骤1”打蛋”，步骤2”搅拌”", ["打蛋", "搅拌"]),
    ('2025"新年"', ["新年"]),
    ('2025"NEW YEAR"', ["NEW YEAR"]),
    ('2025"《新年》"', ["《新年》"]),
    ('a poster "2025"', ["2025"]),
    ('size 3"', []),
]
OTHER_STYLES_TABLE = [
    ("Skylten ”ÖPPET” hänger", ["ÖPPET"]),
    ("写着”新年”的海报", ["新年"]),
    ("Skylten ’ÖPPET’ hänger", ["ÖPPET"]),
    ("a ‘SALE’ sign", ["SALE"]),
    ("une affiche «OUVERT»", ["OUVERT"]),
    ("une affiche « OUVERT »", ["OUVERT"]),
    ("une affiche «\u202fOUVERT\u00a0»", ["OUVERT"]),
    ("ein Schild »OFFEN« und »ZU«", ["OFFEN", "ZU"]),
    ("kyltti »AUKI»", ["AUKI"]),
    ("ein ‹A› und ›B‹", ["A", "B"]),
    ("ein „OFFEN“ und „ZU“", ["OFFEN", "ZU"]),
    ("szyld „OTWARTE” i „ZAMKNIĘTE”", ["OTWARTE", "ZAMKNIĘTE"]),
    ("ein ‚A‘ und ‚B‘", ["A", "B"]),
    ("看板『営業中』", ["営業中"]),
    ("「外『内』」", ["外『内』", "内"]),
    ("＂全角＂と＇半角＇", ["全角", "半角"]),
    ("〝上〞〝下〟", ["上", "下"]),
    ("„A“ and ”B” and “C”", ["C", "A", "B"]),
    ("〝9〞＇8＇＂7＂『6』›5‹‹4›»3««2»‚1‘ ’0’ ‘z’ ”y” „x“ 「4」 \"3\" “2” '1'",
     ["1", "2", "3", "4", "x", "y", "z", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
]
UNPAIRED_TABLE = [  # prompt, texts, what the warning shows
    ('unbalanced "open', [], '"open'),
    ("unbalanced 'x' and 'y", ["x"], "'y"),
    ("a sign “OPEN on a wall", [], "“OPEN on…"),
    ("a sign OPEN” on a wall", [], "…ign OPEN”"),
    ('a sign “OPEN"', [], "“OPEN\", …gn “OPEN\""),
    ("a sign ‘OPEN'", [], "‘OPEN'"),
    ("ein „OFFEN", [], "„OFFEN"),
    ("un «OUVERT", [], "«OUVERT"),
    ("招牌「营业中", [], "「营业中"),
    ("招牌营业中」", [], "招牌营业中」"),
    ("『a", [], "『a"),
    ("＂a", [], "＂a"),
    ('24" "HI', [], '"HI'),
    ('two\n"lines\nof a text', [], '"lines of…'),
    ("“a “b”", ["b"], "“a “b”"),
]


@pytest.mark.parametrize("prompt, texts", UPSTREAM_TABLE)
def test_reference_rules(prompt, texts):
    assert quoted_texts(prompt, DIFFUSERS) == texts


@pytest.mark.parametrize("prompt, texts", [*PLAIN_TABLE, *APOSTROPHE_TABLE, *INCH_TABLE, *OTHER_STYLES_TABLE])
def test_natural_rules(prompt, texts, caplog):
    assert quoted_texts(prompt, NATURAL) == (texts or [""])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("prompt, texts, shown", UNPAIRED_TABLE)
def test_marks_without_a_partner_are_shown_in_one_line(prompt, texts, shown, caplog):
    assert quoted_texts(prompt, NATURAL) == (texts or [""])
    (warning,) = caplog.messages
    assert warning.startswith("quotation marks must come in pairs") and "\n" not in warning
    assert warning.endswith(f": {shown})")


def test_a_long_list_of_marks_without_a_partner_is_cut(caplog):
    quoted_texts("“a " * 1000)
    (warning,) = caplog.messages
    assert len(warning) < 300 and "995 more" in warning


def test_the_short_and_is_told(caplog):
    with caplog.at_level(logging.INFO):
        assert quoted_texts("the letter 'n' in red") == [""]
    (remark,) = caplog.messages
    assert remark == """'n' between two words stands for "and"; to write it in the image, use other marks: "n\""""


UPSTREAM = [r"'([^']*)'", "“([^“”]*)”", r'"([^"]*)"', "「([^「」]*)」"]  # diffusers 0.42.1
MARKS = "'\"“”„‘’‚«»‹›「」『』＂＇〝〞〟"
STYLES = ["''", "“”", '""', "「」", "„“", "„”", "””", "‘’", "’’", "‚‘", "‚’", "«»", "»«", "»»", "‹›", "›‹", "『』",
          "＂＂", "＇＇", "〝〞", "〝〟"]
plain_text = st.text(st.characters(codec="utf-8", exclude_characters=MARKS), max_size=12)


@given(st.text(st.one_of(st.sampled_from(MARKS), st.sampled_from("ab 1中\n"), st.characters(codec="utf-8"))))
def test_reference_rules_are_upstreams_regular_expressions(prompt):
    expected = [text for rule in UPSTREAM for text in re.findall(rule, prompt)]
    assert quoted_texts(prompt, DIFFUSERS) == (expected or [""])


@given(plain_text)
def test_without_marks_nothing_is_lettered(prompt):
    for rules in (NATURAL, DIFFUSERS):
        assert quoted_texts(prompt, rules) == [""]


@given(st.sampled_from(STYLES), plain_text, plain_text, plain_text)
def test_a_text_in_any_marks_is_lettered_exactly(style, before, text, after):
    assume(text not in ("n", "N"))
    assume(style not in ("«»", "»«", "»»", "‹›", "›‹") or text == text.strip())
    assert quoted_texts(f"{before} {style[0]}{text}{style[1]} {after}", NATURAL) == [text]


@given(st.lists(st.tuples(st.sampled_from(STYLES[:4]), plain_text), max_size=5), plain_text)
def test_both_rules_agree_when_every_quote_is_a_real_one(quotes, filler):
    assume(all(text not in ("n", "N") for _, text in quotes))
    prompt = f"{filler} " + "".join(f" {marks[0]}{text}{marks[1]} {filler} " for marks, text in quotes)
    by_style = [text for marks in STYLES[:4] for m, text in quotes if m == marks]
    assert quoted_texts(prompt, DIFFUSERS) == quoted_texts(prompt, NATURAL) == (by_style or [""])


@given(st.text(st.sampled_from(MARKS + "nNs1 אשא中ka,"), max_size=60))
def test_any_marks_give_texts_of_the_prompt(prompt):
    assert all(text in prompt for text in quoted_texts(prompt, NATURAL))


@pytest.mark.parametrize("rules", [NATURAL, DIFFUSERS])
@pytest.mark.parametrize("piece", ["a", "'", '"', "'a ", "a'", "a'a", "“", "”", "“”", "‘a ", "’a", "1\"", '1"a',
                                   "א\"אא", "«", " 'n' a", "「", "中'", "12'中'", "\n", "＂a"])
def test_time_grows_with_length_alone(rules, piece):
    """Eight times as many characters take about eight times as long; something quadratic would take 64 times."""

    def seconds(length: int) -> float:
        prompt, started = (piece * length)[:length], process_time()
        quoted_texts(prompt, rules)
        return process_time() - started

    short, long = (min(seconds(length) for _ in range(3)) for length in (5_000, 40_000))
    assert long < 24 * short + 0.01


def test_unknown_rules_are_refused():
    with pytest.raises(GLMImageError, match=r"quotes must be one of reference, natural \(got 'smart'\)"):
        quoted_texts("x", "smart")


@pytest.mark.parametrize("rules", [NATURAL, DIFFUSERS])
@pytest.mark.parametrize("prompts, texts", [
    (['a sign "OPEN"', 'a sign "SHUT" and "OPEN"'], ["OPEN", "SHUT"]),
    (['"HI" and "HI"', "'YES' and \"HO\""], ["HI", "HI", "YES", "HO"]),
    (['a "broken one', 'a sign "OPEN"'], ["OPEN"]),
    (["it is 'broken", "“SHUT”, 'OPEN'"], ["OPEN", "SHUT"]),
    (["nothing", "here"], [""]),
    (["nothing", '"OPEN"'], ["OPEN"]),
])
def test_texts_of_several_prompts_come_one_prompt_after_the_other(prompts, texts, rules):
    assert quoted_texts_of_all(PROMPT_SEPARATOR.join(prompts), rules) == texts


@given(st.text(st.sampled_from(MARKS + "nNs1 中ka,\n"), max_size=60))
def test_texts_of_one_prompt_are_its_own(prompt):
    for rules in (NATURAL, DIFFUSERS):
        assert quoted_texts_of_all(prompt, rules) == quoted_texts(prompt, rules)
