"""CVTG-2K: words of prompts and their figures.

The figures of PICTURES are those that extract_words_from_prompt and compute_ocr_metrics of TextCrafter's
unified_metrics_eval.py give for the same lines of OCR, with the edit distance of this pack in place of a library's.
"""

import pytest

from glm_core.benchmark import CVTG
from glm_core.errors import GLMImageError
from tests.support.benchmarks import write_cvtg

PICTURES = [  # prompt, what OCR reads in its picture
    ("A sign 'OPEN DAILY' and 'Open late, always'.", "Open daily\nlate always"),
    ("The shop's sign says 'FRESH'.", "fresh"),
    ("A box with 'SALE' and 'STOP'.", ""),
]


def results_of(benchmark, data, readings):
    return [benchmark.measure(case, [[text]]) for case, text in zip(benchmark.read(data), readings, strict=True)]


@pytest.fixture
def data(tmp_path):
    return write_cvtg(tmp_path, [prompt for prompt, _ in PICTURES])


def test_pictures_have_the_names_that_the_official_tool_looks_for(tmp_path):
    cases = CVTG().read(write_cvtg(tmp_path, ["a", "b", "c"], ["d", "e", "f"]), limit=2)
    assert [case.name for case in cases] == ["CVTG/2/0.png", "CVTG-Style/3/0.png", "CVTG/2/1.png", "CVTG-Style/3/1.png"]
    assert [case.prompt for case in cases] == ["a", "d", "b", "e"]


def test_a_limit_takes_the_first_of_all_so_that_seeds_stay(tmp_path):
    data = write_cvtg(tmp_path, ["a", "b", "c"], ["d"])
    assert [case.prompt for case in CVTG().read(data)] == ["a", "d", "b", "c"]
    assert CVTG().read(data, limit=1) == CVTG().read(data)[:2]


def test_figures_are_the_official_ones(data):
    results = results_of(CVTG(), data, [text for _, text in PICTURES])
    figures = CVTG().figures(results)
    assert figures["words"] == 10  # of the second prompt "s", "sign" and "says", but not "fresh"
    assert figures["word_accuracy"] == pytest.approx(4 / 10)  # "open" counts twice, "late," is not "late"
    assert figures["ned"] == pytest.approx(0.5200010600, abs=1e-9)
    assert CVTG().groups(results)["CVTG/2"] == figures


def test_corrected_apostrophes_are_no_quotation_marks(data):
    corrected = CVTG(corrected=True)
    results = results_of(corrected, data, [text for _, text in PICTURES])
    assert [case.words for case in corrected.read(data)][1] == ("fresh",)
    assert corrected.figures(results)["word_accuracy"] == pytest.approx(5 / 8)


def test_the_closest_word_is_difflibs_not_that_of_the_least_edit_distance(tmp_path):
    """"abcd": difflib rates "cdab" 2 * 2 / 8 and "xbyd" 2 * 2 / 8, and takes the later in the alphabet; "bcdxxx" has
    2 * 3 / 10, more than both, and an edit distance of 4 of 6 letters against 2 of 4."""
    (result,) = results_of(CVTG(), write_cvtg(tmp_path, ["'ABCD'"]), ["cdab xbyd bcdxxx"])
    assert result.score == 0
    assert result.similarities == (pytest.approx(1 - 4 / 6, abs=1e-5),)


@pytest.mark.parametrize("written, message", [
    ("[1]", "must be a JSON object"), ('{"data_list": 1}', "data_list must be a list of prompts"),
    ('{"data_list": [{"index": 1}]}', 'entry 0 must be an object with "index"'),
    ('{"data_list": [{"index": "../1", "prompt": "a"}]}', 'entry 0 must be an object with "index"'),
])
def test_other_files_are_refused(tmp_path, written, message):
    data = write_cvtg(tmp_path, ["a"])
    (data / "CVTG" / "2.json").write_text(written)
    with pytest.raises(GLMImageError, match=message):
        CVTG().read(data)


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(GLMImageError, match=r"CVTG/2\.json.*dnkdnk/CVTG-2K at huggingface\.co"):
        CVTG().read(tmp_path)
