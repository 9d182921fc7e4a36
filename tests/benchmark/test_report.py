"""The table and the page of pictures."""

from pathlib import Path

import pytest

from glm_core.benchmark import Case, Outcome, Result, page, table
from glm_core.benchmark.report import address
from tests.support.benchmarks import write_picture

GOOD = Result(Case("good.png", "a good one", 1), 1.0)
BAD = Result(Case("bad & ugly.png", "</p><script>alert(1)</script>", 1), 0.25, {"read": "<img src=x onerror=alert(1)>"})
UNREAD = Result(Case("unread.png", "u", 1), None)
OUTCOME = Outcome("CVTG-2K", "a <model>", {"word_accuracy": 0.5, "words": 4}, {"word_accuracy": 0.9, "ned": 0.8},
                  {"CVTG/2": {"word_accuracy": 0.25, "words": 2}}, ("not comparable",), (GOOD, UNREAD, BAD))


def test_table_has_published_figures_beside_and_a_dash_for_what_nobody_measured():
    assert table(OUTCOME) == """\
CVTG-2K: 3 pictures, read by a <model>

                 here  GLM-Image, published
word accuracy  0.5000                0.9000
words               4                     -
NED                 -                0.8000

        word accuracy  words
CVTG/2         0.2500      2

- not comparable"""


def test_page_shows_the_worst_first_escapes_all_texts_and_fetches_nothing(tmp_path):
    folder = tmp_path / "pictures of #1"
    for result in OUTCOME.results:
        write_picture(folder / result.case.name, (1, 2, 3))
    html = page(OUTCOME, folder, tmp_path / "reports" / "page.html")
    assert html.index("bad &amp; ugly.png: 25 %") < html.index("good.png: 100 %") < html.index("unread.png: not scored")
    assert "<script" not in html and "<img src=x" not in html and "a &lt;model&gt;" in html
    assert 'src="../pictures%20of%20%231/bad%20%26%20ugly.png"' in html
    assert "http" not in html and html.count("src=") - html.count("&lt;img src=") == 3


@pytest.mark.parametrize("picture, expected", [("a/b.png", "b.png"), ("c/b.png", "../c/b.png")])
def test_addresses_are_relative_to_the_page(tmp_path, picture, expected):
    assert address(tmp_path / picture, tmp_path / "a" / "page.html") == expected


def test_pictures_that_are_gone_are_left_out(tmp_path):
    assert "<img" not in page(OUTCOME, Path("nowhere"), tmp_path / "page.html").replace("&lt;img", "")
