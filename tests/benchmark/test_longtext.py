"""LongText-Bench: names, cleaning and figures.

The figures of ENGLISH and CHINESE are those of X-Omni's textbench (clean_and_remove_hallucinations, then
summary_scores.py) for the same transcripts.
"""

import pytest

from glm_core.benchmark import LongText
from glm_core.errors import GLMImageError
from tests.support.benchmarks import write_longtext

ENGLISH = [  # texts, transcript, matched and wanted words
    (["OPEN DAILY", "Fresh, warm bread!"], "Open daily\nfresh warm breads", (4, 5)),
    (["Café №5: crème brûlée"], "addCriterion cafe 5 crème BRÛLÉE brûlée", (3, 4)),
    (["Sale", "No text"], "No text recognized", (2, 3)),
    (["A a A"], "a a", (2, 3)),
]
CHINESE = [  # texts, transcript, matched and wanted characters
    (["每日新鲜烘焙", "始于1998"], "每日新鮮烘焙 始于1988", (10, 12)),
    (["中央公园 - 2公里 ABC"], "中央公园2公里abc", (7, 10)),
    (["你好"], "No text recognized.", (0, 2)),
    (["标准"], "addCriterion标", (1, 2)),
]


def results_of(benchmark, folder, pictures):
    data = write_longtext(folder, [texts for texts, _, _ in pictures], benchmark.language)
    return [benchmark.measure(case, [[text]]) for case, (_, text, _) in zip(benchmark.read(data), pictures)]


@pytest.mark.parametrize("language, pictures, score", [("en", ENGLISH, 0.7333), ("zh", CHINESE, 0.6923)])
def test_figures_are_the_official_ones(tmp_path, language, pictures, score):
    benchmark = LongText(language=language, copies=1)
    results = results_of(benchmark, tmp_path, pictures)
    assert [(result.matched, result.wanted) for result in results] == [counts for _, _, counts in pictures]
    assert round(benchmark.figures(results)["text_score"], 4) == score


def test_corrected_answers_without_text_do_not_count(tmp_path):
    pictures = [*ENGLISH, (["add criterion"], "addCriterion", (0, 2))]
    results = results_of(LongText(copies=1, corrected=True), tmp_path, pictures)
    assert [result.matched for result in results] == [4, 3, 0, 2, 0]


def test_the_phrase_that_stays_can_count_as_a_word(tmp_path):
    pictures = [(["addCriterion"], "addCriterion", ())]
    assert results_of(LongText(copies=1), tmp_path, pictures)[0].score == 1
    assert results_of(LongText(copies=1, corrected=True), tmp_path, pictures)[0].score == 0


def test_pictures_have_the_official_names(tmp_path):
    data = write_longtext(tmp_path, [["a"], ["b"], ["c"]])
    assert [case.name for case in LongText(copies=2).read(data, limit=2)] == [
        "0000_1.png", "0000_2.png", "0003_1.png", "0003_2.png"]


@pytest.mark.parametrize("line", ['{"prompt": "a", "text": ["b"]}', '{"prompt": "a", "text": "b", "prompt_id": 1}',
                                  '{"prompt": 1, "text": ["b"], "prompt_id": 1}', "[]"])
def test_other_lines_are_refused(tmp_path, line):
    (tmp_path / "text_prompts.jsonl").write_text(line)
    with pytest.raises(GLMImageError, match='line 1 must be an object with "prompt_id"'):
        LongText().read(tmp_path)


def test_a_missing_file_says_where_it_comes_from(tmp_path):
    with pytest.raises(GLMImageError, match=r"text_prompts\.jsonl.*X-Omni-Team/X-Omni at github\.com \(Apache-2\.0\)"):
        LongText().read(tmp_path)
