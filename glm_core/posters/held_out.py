"""Words that no training poster shows, and files of evaluation prompts with these words."""

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .captions import caption
from .draw import draw_poster
from .edits import Edit, edit_poster
from .random_posters import random_poster
from .scene import GRID, Poster, Style
from .words import with_words

ENGLISH_TEXT = """
ACTOR AIRPORT ALARM ALMOND AMBER ANCHOR ANGEL APPLE APRIL ARENA ARROW AUTUMN AVENUE BAKERY BALLET BAMBOO BANANA BANK
BARBER BASIL BEACH BERRY BIRD BISTRO BLOSSOM BLUE BOAT BOOKS BOTTLE BREAD BRIDGE BUTTER CABIN CACTUS CAFE CAMERA
CANDLE CANYON CARROT CASTLE CEDAR CHAPEL CHEESE CHERRY CINEMA CIRCUS CITY CLOCK CLOUD COAST COFFEE COMET CORAL CORNER
COTTON CRYSTAL DAISY DANCE DELTA DESERT DINER DOLPHIN DRAGON DREAM EAGLE EARTH EAST ECHO EMBER ENGINE EXIT FABLE
FALCON FARM FERRY FESTIVAL FIELD FLAME FLOWER FOREST FOUNTAIN FOX GALAXY GALLERY GARDEN GINGER GLACIER GOLD GRAPE
GREEN GUITAR HARBOR HARVEST HAZEL HEAVEN HERON HONEY HORIZON HOTEL ICE INDIGO INK IRIS ISLAND IVORY JASMINE JAZZ JEWEL
JUNGLE KITCHEN KIWI LAGOON LAKE LANTERN LAUREL LAVENDER LEMON LIBRARY LILY LION LOTUS LUNA MAGIC MANGO MAPLE MARBLE
MARKET MEADOW MELON METRO MINT MIRROR MOON MOTEL MUSEUM MUSIC NECTAR NIGHT NORTH OASIS OCEAN OLIVE OPAL OPEN OPERA
ORCHID ORBIT OTTER PALACE PALM PANDA PAPER PARK PEACH PEARL PEPPER PIANO PILOT PLANET PLAZA POET POOL PRISM QUARTZ
QUEEN QUIET RADIO RAIN RAVEN RIVER ROBIN ROCKET ROSE RUBY SAFARI SAIL SALON SAND SATURN SCHOOL SHADOW SILVER SKY SNOW
SONG SPRING STAR STATION STONE STORM STUDIO SUGAR SUMMER SUNRISE SUNSET SWAN TAVERN TAXI TEA TEMPLE THEATER THUNDER
TIGER TOAST TOWER TRAIN TULIP TUNNEL VALLEY VANILLA VELVET VIOLET VIOLIN VOYAGE WALNUT WATER WAVE WEST WHALE WILLOW
WIND WINTER WOLF YACHT YELLOW ZEBRA ZEN
"""
CHINESE_TEXT = """
春天 夏天 秋天 冬天 春风 秋风 春雨 秋雨 春花 秋月 花店 书店 茶店 酒店 门店 火山 雪山 山水 山门 山地
天山 风雨 雨水 雨天 雪花 雪地 水鸟 花鸟 花茶 山花 星月 日月 天地 天书 书画 木门 火星 水星 木星 星火 风水
山水画 花鸟画 书画店 风花雪月 春夏秋冬 天地日月
"""
HELD_OUT_WORDS = frozenset(ENGLISH_TEXT.split()) | frozenset(CHINESE_TEXT.split())
MIN_LETTERS = 3  # OCR misses many single letters, even in perfect pictures
ENGLISH_WORDS = [word for word in sorted(ENGLISH_TEXT.split()) if MIN_LETTERS <= len(word) <= GRID]
CHINESE_WORDS = sorted(CHINESE_TEXT.split())
STYLES: dict[str, Callable[[int], Style]] = {  # kind of prompt file -> style of its i-th poster
    "grid": lambda i: Style(),
    "free": lambda i: Style(free=True),
    "chinese": lambda i: Style(free=i % 2 > 0, chinese=True),
    "serif": lambda i: Style(free=i % 2 > 0, chinese=i % 3 > 1, font="serif"),
}


def held_out_poster(rng: random.Random, style: Style = Style(), candidates: Sequence[str] | None = None,
                    counts: Sequence[int] = (1, 1, 2)) -> Poster:
    """A random poster with held-out words. candidates: for the words; None for all in the style's language. counts: of
    the words, one of which is drawn."""
    if candidates is None:
        candidates = CHINESE_WORDS if style.chinese else ENGLISH_WORDS
    words = rng.sample(candidates, rng.choice(counts))
    lengths = tuple(len(word) for word in words)
    return with_words(random_poster(rng, lengths, style=style), words)


def to_line(prompt: str, poster: Poster, **more: Any) -> str:
    """A task for ``evaluate`` as a line of JSON: the prompt, what its picture should show, and ``more`` fields."""
    shapes = [{"kind": shape.kind, "colour": shape.colour, "zone": list(shape.zone)} for shape in poster.shapes]
    texts = [word.text for word in poster.words]
    return json.dumps({"prompt": prompt, "texts": texts, "shapes": shapes, **more}, ensure_ascii=False) + "\n"


def write_prompts(path: Path, count: int, kind: str) -> None:
    """Write a JSONL file of captions for ``evaluate``. ``kind``: a key of STYLES."""
    rng = random.Random(kind)
    posters = [held_out_poster(rng, STYLES[kind](i)) for i in range(count)]
    lines = [to_line(caption(poster), poster) for poster in posters]
    path.write_text("".join(lines), encoding="utf-8")


def held_out_edit(rng: random.Random, changes_word: bool, candidates: Sequence[str] = ENGLISH_WORDS) -> Edit:
    """An edit of a poster on the token grid, with held-out words before and after. candidates: for the words."""
    poster = held_out_poster(rng, candidates=candidates)
    return edit_poster(rng, poster, (lambda: rng.choice(candidates)) if changes_word else None)


def write_edits(path: Path, count: int) -> None:
    """Write a JSONL file of edits for ``evaluate``, and the posters before the edits to a folder of the same name.

    Every other edit changes a word.
    """
    rng, folder = random.Random("edits"), path.with_suffix("")
    folder.mkdir(exist_ok=True)
    lines = []
    for i in range(count):
        edit = held_out_edit(rng, i % 2 > 0)
        picture = folder / f"{i:03}.png"
        draw_poster(edit.before).save(picture)
        lines.append(to_line(edit.sentence, edit.after, images=[f"{folder.name}/{picture.name}"]))
    path.write_text("".join(lines), encoding="utf-8")
