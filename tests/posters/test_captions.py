from dataclasses import replace

from glm_core.glyph import quoted_texts
from glm_core.posters import caption
from tests.posters.samples import FREE, IN_CHINESE, ON_GRID, SMALL, WITH_SERIFS


def test_captions_quote_exactly_the_words():
    for poster in (*ON_GRID, *FREE, *IN_CHINESE, *WITH_SERIFS):
        assert quoted_texts(caption(poster)) == [word.text for word in poster.words]


def test_different_posters_on_the_grid_have_different_captions():
    with_serifs = [replace(poster, font="serif") for poster in ON_GRID]
    for posters in (ON_GRID, SMALL, [*ON_GRID, *with_serifs]):
        assert len({caption(poster) for poster in posters}) == len(set(posters))
