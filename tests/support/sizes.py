"""Sizes of reference images, for hypothesis."""

from hypothesis import strategies as st


@st.composite
def accepted_sizes(draw: st.DrawFn, longest: int = 4096) -> tuple[int, int]:
    """Width and height from 64 pixels, aspect ratio up to 4."""
    long = draw(st.integers(64, longest))
    short = draw(st.integers(max(64, -(-long // 4)), long))
    width, height = draw(st.permutations((long, short)))
    return width, height
