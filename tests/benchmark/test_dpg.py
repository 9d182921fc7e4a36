"""DPG-Bench: questions that depend on others, and figures.

The figures of ROWS and ANSWERS are those of ELLA's compute_dpg_bench.py (prepare_dpg_data, compute_dpg_one_sample and
what main makes of them) for the same answers, four images to a picture.
"""

import pytest

from glm_core.benchmark import DPG
from glm_core.errors import GLMImageError
from tests.support.benchmarks import write_dpg

ROWS = [
    ("first", 1, "0", "entity - whole (cat)", "Is there a cat?"),
    ("first", 2, "1", "attribute - color (cat, black)", "Is the cat black?"),
    ("park", 1, "0", "entity - whole (dog)", "Is there a dog?"),
    ("park", 2, "1", "attribute - size (dog, big)", "Is the dog big?"),
    ("park", 3, "2", "relation - spatial (dog, tree, beside)", "Is the dog beside a tree?"),
    ("park", 4, "0", "global - (photo)", "Is it a photo?"),
    ("sea", 1, "0", "entity - whole (boat)", "Is there a boat?"),
    ("sea", 2, "0", "entity - part (sail)", "Is there a sail?"),
    ("sea", 3, "1, 2", "relation - spatial (sail, boat, on)", "Is the sail on the boat?"),
    ("odd", 2, "3", "attribute - color (hat, red)", "Is the hat red?"),
    ("odd", 3, "0", "entity - whole (hat)", "Is there a hat?"),
]
ANSWERS = {  # for each image, the answers to its questions
    "first": ["y"] * 4, "park": ["nyyy", "ynyn", "yyyy", "yynn"], "sea": ["yyy", "nyy", "ynn", "yny"],
    "odd": ["yn"] * 4,
}
SCORES = {"first": None, "park": 0.5, "sea": 0.5, "odd": 0.0}
GROUPS = {"entity": 50, "attribute": 100, "relation": 50, "global": 0, "entity - whole": 200 / 3, "entity - part": 0,
          "attribute - size": 100, "attribute - color": 100, "relation - spatial": 50, "global -": 0}


def spoken(image):
    return [{"y": "Yes, it is.", "n": "no"}[letter] for letter in image]


def results_of(benchmark, folder, rows=ROWS, answers=ANSWERS):
    cases = benchmark.read(write_dpg(folder, rows))
    return {case.name.removesuffix(".png"): benchmark.measure(case, [spoken(image) for image in
                                                                     answers[case.name.removesuffix(".png")]])
            for case in cases}


def test_figures_are_the_official_ones(tmp_path):
    results = results_of(DPG(), tmp_path)
    assert {name: result.score for name, result in results.items()} == {
        name: score if score is None else pytest.approx(score) for name, score in SCORES.items()}
    every = list(results.values())
    assert DPG().figures(every) == {"score": pytest.approx(100 / 3), "pictures_left_out": 1, "unclear_answers": 0}
    assert {name: figures["score"] for name, figures in DPG().groups(every).items()} == pytest.approx(GROUPS)


def test_corrected_the_first_row_and_all_images_count(tmp_path):
    """By hand: the first picture has all right, so (1 + 1/2 + 1/2 + 0) / 4. Whole entities of 16 images: cat 4, dog 3,
    boat 3 and hat 0."""
    benchmark = DPG(corrected=True)
    results = list(results_of(benchmark, tmp_path, answers=ANSWERS | {"first": ["yy"] * 4}).values())
    assert benchmark.figures(results)["score"] == pytest.approx(50)
    assert benchmark.groups(results)["entity - whole"]["score"] == pytest.approx(100 * 10 / 16)


def test_without_others_that_depend_on_it_the_first_row_is_only_missed(tmp_path):
    rows = [ROWS[0], ("first", 2, "0", "entity - whole (dog)", "Is there a dog?")]
    assert results_of(DPG(), tmp_path, rows, {"first": ["n", "n", "y", "y"]})["first"].score == 0.5


def test_a_missing_question_does_not_matter_after_one_that_is_answered_no(tmp_path):
    """The official loop stops at the first parent with 0, and fails at one that is missing before it."""
    rows = [ROWS[6], ("park", 1, "0", "a - b (c)", "A?"), ("park", 2, "1, 7", "a - b (c)", "B?")]
    results = results_of(DPG(copies=1), tmp_path, rows, {"park": ["ny"], "sea": [""]})
    assert results["park"].score == 0 and results["sea"].score is None
    assert DPG(copies=1).measure(results["park"].case, [spoken("yy")]).score is None


def test_rows_that_are_apart_replace_the_earlier_ones(tmp_path):
    rows = [ROWS[6], ("park", 1, "0", "a - b (c)", "A?"), ("sea", 2, "0", "a - b (c)", "B?"),
            ("park", 2, "0", "a - b (c)", "C?")]
    data = write_dpg(tmp_path, rows)
    asked = {flag: {case.name: [one.question for one in case.propositions] for case in DPG(corrected=flag).read(data)}
             for flag in (False, True)}
    assert asked == {False: {"park.png": ["C?"], "sea.png": ["B?"]},
                     True: {"park.png": ["A?", "C?"], "sea.png": ["Is there a boat?", "B?"]}}


def test_other_answers_are_counted_and_mean_no(tmp_path):
    (case,) = DPG(copies=1).read(write_dpg(tmp_path, [ROWS[6], *ROWS[6:9]]))
    result = DPG(copies=1).measure(case, [["**Yes**", "I cannot say", ""]])
    assert (result.score, result.unclear) == (pytest.approx(1 / 3), 2)


def test_prompts_questions_and_names(tmp_path):
    first, *_ = DPG().read(write_dpg(tmp_path, ROWS), limit=1)
    assert (first.name, first.prompt, first.cells) == ("first.png", "The picture first.", 4)
    assert [question.text for question in DPG().questions(first)] == ["Is the cat black? Answer with yes or no."]


@pytest.mark.parametrize("row, message", [
    (("a", "x", "0", "t", "q"), "row 2, proposition_id must be whole numbers"),
    (("a", 1, "", "t", "q"), "row 2, dependency must be whole numbers"),
])
def test_other_tables_are_refused(tmp_path, row, message):
    with pytest.raises(GLMImageError, match=message):
        DPG().read(write_dpg(tmp_path, [ROWS[0], row]))


def test_a_missing_table_says_where_it_comes_from(tmp_path):
    with pytest.raises(GLMImageError, match=r"dpg_bench\.csv.*TencentQQGYLab/ELLA at github\.com \(Apache-2\.0\)"):
        DPG().read(tmp_path)
