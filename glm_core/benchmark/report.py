"""A page of all pictures with what was wanted and found, the worst first. It fetches nothing."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path, PurePosixPath

from .base import Result
from .outcome import Outcome
from .pictures import find_picture
from .table import table

HEAD = """<!doctype html>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 15px/1.4 sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }}
article {{ display: flex; gap: 1em; border-top: 1px solid #ccc; padding: 1em 0 }}
img {{ width: 20em; height: auto; align-self: flex-start }}
dt {{ font-weight: bold }}
dd {{ margin: 0 0 .5em; white-space: pre-wrap; overflow-wrap: anywhere }}
h2 {{ font-size: 1em; margin: 0 }}
</style>
<h1>{title}</h1>
<pre>{table}</pre>
"""


def page(outcome: Outcome, folder: Path, at: Path) -> str:
    """HTML. folder: of the pictures, which the page shows from there. at: the file of the page."""
    head = HEAD.format(title=escape(outcome.title), table=escape(table(outcome)))
    return head + "".join(article(result, folder, at) for result in worst_first(outcome.results))


def worst_first(results: Sequence[Result]) -> list[Result]:
    """By score; those without one last."""
    return sorted(results, key=lambda result: 2.0 if result.score is None else result.score)


def article(result: Result, folder: Path, at: Path) -> str:
    score = "not scored" if result.score is None else f"{100 * result.score:.0f} %"
    details = {"prompt": result.case.prompt, **result.details}
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>\n" for name, text in details.items())
    path = find_picture(folder, result.case)
    image = f'<img loading="lazy" alt="" src="{escape(address(path, at))}">' if path else ""
    return f"<article>{image}\n<div><h2>{escape(result.case.name)}: {score}</h2>\n<dl>{rows}</dl></div></article>\n"


def address(picture: Path, at: Path) -> str:
    """A picture's URL from the page: relative, or absolute if it is on another drive of Windows."""
    picture, at = picture.absolute(), at.absolute()
    if picture.drive != at.drive:
        return picture.as_uri()
    relative = Path(os.path.relpath(picture, at.parent)).as_posix()
    return PurePosixPath(f"/{relative}").as_uri().removeprefix("file:///")
