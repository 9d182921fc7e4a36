"""OneIG-Bench's text rendering: the wanted text, cleaning and figures.

The figures of ENGLISH and CHINESE are those of OneIG-Benchmark's scripts/text/text_utils.py, put together as its
text_score.py does, for the same transcripts.
"""

import pytest

from glm_core.benchmark import OneIGText
from glm_core.errors import GLMImageError
from tests.support.benchmarks import write_oneig

ENGLISH = [  # text_content, a transcript for each image, their edit distance, matched and wanted words
    ("['SunBeat Festival 2024', 'Live Music & Food']",
     ["SunBeat Festival 2024\nLive Music Food", "Sunbeat festival 2024 addCriterion", "No text recognized.",
      "No text recognized"],
     [(0, 6, 6), (18, 1, 6), (37, 0, 6), (30, 0, 6)]),
    ("['Title: Models\\nAuthor: Ho']", ["Title: Models Author: Ho", "Title ModelsnAuthor Ho", "标题 Title", "Ho"],
     [(1, 2, 3), (0, 3, 3), (19, 0, 3), (20, 1, 3)]),
]
CHINESE = [
    ("['5G技术', '城市 地区']", ["5G技术城市地区", "5g技术 城市", "No text recognized", "5G Technology"],
     [(0, 8, 8), (3, 5, 8), (18, 0, 8), (11, 2, 8)]),
    ("['Hello World']", ["Hello World", "Hello 世界", "", ""], [(0, 2, 2), (6, 0, 2), (11, 0, 2), (11, 0, 2)]),
]


def results_of(benchmark, folder, pictures):
    cases = benchmark.read(write_oneig(folder, [content for content, _, _ in pictures], benchmark.language))
    return [benchmark.measure(case, [[text] for text in texts]) for case, (_, texts, _) in zip(cases, pictures)]


@pytest.mark.parametrize("language, pictures, expected", [
    ("en", ENGLISH, {"ED": 15.625, "CR": 0.25, "WAC": 0.3611111111, "text_score": 0.9251302083}),
    ("zh", CHINESE, {"ED": 7.5, "CR": 0.25, "WAC": 0.425, "text_score": 0.9353125}),
])
def test_figures_are_the_official_ones(tmp_path, language, pictures, expected):
    benchmark = OneIGText(language=language)
    results = results_of(benchmark, tmp_path, pictures)
    assert [list(result.images) for result in results] == [images for _, _, images in pictures]
    assert benchmark.figures(results) == pytest.approx(expected)


def test_corrected_the_list_is_read_and_no_text_is_none(tmp_path):
    """The line break is no letter n, and the reply that there is no text leaves none: distance 37, as of ""."""
    results = results_of(OneIGText(corrected=True), tmp_path, ENGLISH)
    assert [list(result.images) for result in results] == [
        [(0, 6, 6), (18, 1, 6), (37, 0, 6), (37, 0, 6)], [(0, 4, 4), (1, 2, 4), (19, 0, 4), (20, 1, 4)]]


def test_large_distances_count_as_the_largest():
    long = "['" + "word " * 50 + "']"
    benchmark = OneIGText()
    result = benchmark.measure(benchmark.case("", "000", "p", long), [["word"]])
    assert benchmark.figures([result])["text_score"] == pytest.approx(1 - 49 / 50)


def test_pictures_have_the_official_names(tmp_path):
    (case, *_) = OneIGText().read(write_oneig(tmp_path, ["['a']", "['b']"]), limit=1)
    assert (case.name, case.prompt, case.cells) == ("000.webp", "prompt 0", 4)


def test_long_texts_get_more_tokens():
    short, long = (OneIGText().case("", "000", "p", "a " * count) for count in (60, 61))
    assert [OneIGText().questions(case)[0].max_tokens for case in (short, long)] == [128, 256]


@pytest.mark.parametrize("content", ["no list", "__import__('os')", "[1]", "'a'", "["])
def test_corrected_anything_but_a_list_of_texts_is_refused(tmp_path, content):
    with pytest.raises(GLMImageError, match="row 1, text_content must be a list of texts"):
        OneIGText(corrected=True).read(write_oneig(tmp_path, [content]))


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(GLMImageError, match=r"text_content_zh\.csv.*OneIG-Benchmark at github\.com"):
        OneIGText(language="zh").read(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "text_content.csv").write_text("id,prompt_en\n000,a\n")
    with pytest.raises(GLMImageError, match="row 1: must have a value in the column text_content"):
        OneIGText().read(tmp_path)
