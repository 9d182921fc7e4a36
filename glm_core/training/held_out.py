"""Words that no training poster shows, and prompts with them to evaluate on."""

import json
import random
from pathlib import Path

from .edits import Edit, edit_poster
from .posters import GRID, Poster, caption, draw_poster, random_poster, with_words

TEXT = """
ACTOR AIRPORT ALARM ALMOND AMBER ANCHOR ANGEL APPLE APRIL ARENA ARROW AUTUMN AVENUE BAKERY BALLET BAMBOO BANANA BANK BARBER BASIL BEACH
BERRY BIRD BISTRO BLOSSOM BLUE BOAT BOOKS BOTTLE BREAD BRIDGE BUTTER CABIN CACTUS CAFE CAMERA CANDLE CANYON CARROT CASTLE CEDAR CHAPEL
CHEESE CHERRY CINEMA CIRCUS CITY CLOCK CLOUD COAST COFFEE COMET CORAL CORNER COTTON CRYSTAL DAISY DANCE DELTA DESERT DINER DOLPHIN
DRAGON DREAM EAGLE EARTH EAST ECHO EMBER ENGINE EXIT FABLE FALCON FARM FERRY FESTIVAL FIELD FLAME FLOWER FOREST FOUNTAIN FOX GALAXY
GALLERY GARDEN GINGER GLACIER GOLD GRAPE GREEN GUITAR HARBOR HARVEST HAZEL HEAVEN HERON HONEY HORIZON HOTEL ICE INDIGO INK IRIS ISLAND
IVORY JASMINE JAZZ JEWEL JUNGLE KITCHEN KIWI LAGOON LAKE LANTERN LAUREL LAVENDER LEMON LIBRARY LILY LION LOTUS LUNA MAGIC MANGO MAPLE
MARBLE MARKET MEADOW MELON METRO MINT MIRROR MOON MOTEL MUSEUM MUSIC NECTAR NIGHT NORTH OASIS OCEAN OLIVE OPAL OPEN OPERA ORCHID ORBIT
OTTER PALACE PALM PANDA PAPER PARK PEACH PEARL PEPPER PIANO PILOT PLANET PLAZA POET POOL PRISM QUARTZ QUEEN QUIET RADIO RAIN RAVEN
RIVER ROBIN ROCKET ROSE RUBY SAFARI SAIL SALON SAND SATURN SCHOOL SHADOW SILVER SKY SNOW SONG SPRING STAR STATION STONE STORM STUDIO
SUGAR SUMMER SUNRISE SUNSET SWAN TAVERN TAXI TEA TEMPLE THEATER THUNDER TIGER TOAST TOWER TRAIN TULIP TUNNEL VALLEY VANILLA VELVET
VIOLET VIOLIN VOYAGE WALNUT WATER WAVE WEST WHALE WILLOW WIND WINTER WOLF YACHT YELLOW ZEBRA ZEN
"""
WORDS = frozenset(TEXT.split())
LEAST_LETTERS = 3  # the reader of evaluate misses many single letters even in perfect pictures


CANDIDATES = [word for word in sorted(WORDS) if LEAST_LETTERS <= len(word) <= GRID]


def held_out_poster(rng: random.Random, free: bool = False) -> Poster:
    words = rng.sample(CANDIDATES, rng.choice((1, 1, 2)))
    return with_words(random_poster(rng, tuple(map(len, words)), free=free), words)


def to_line(prompt: str, poster: Poster, **more) -> str:
    shapes = [{"kind": shape.kind, "colour": shape.colour, "zone": list(shape.zone)} for shape in poster.shapes]
    return json.dumps({"prompt": prompt, "texts": [word.text for word in poster.words], "shapes": shapes, **more}) + "\n"


def write_prompts(path: Path, count: int, free: bool = False) -> None:
    """A JSONL file for ``evaluate``, of posters on the grid or free ones."""
    rng = random.Random("free" if free else "grid")
    posters = [held_out_poster(rng, free) for _ in range(count)]
    path.write_text("".join(to_line(caption(poster), poster) for poster in posters), encoding="utf-8")


def held_out_edit(rng: random.Random, new_word: bool) -> Edit:
    """Of a poster on the grid, with held-out words before and after."""
    return edit_poster(rng, held_out_poster(rng), (lambda: rng.choice(CANDIDATES)) if new_word else None)


def write_edits(path: Path, count: int) -> None:
    """A JSONL file for ``evaluate``, of edits of posters that are drawn into a folder beside it. Every other edit writes a word."""
    rng, folder = random.Random("edits"), path.with_suffix("")
    folder.mkdir(exist_ok=True)
    lines = []
    for i in range(count):
        edit = held_out_edit(rng, i % 2 > 0)
        picture = folder / f"{i:03}.png"
        draw_poster(edit.before).save(picture)
        lines.append(to_line(edit.sentence, edit.after, images=[f"{folder.name}/{picture.name}"]))
    path.write_text("".join(lines), encoding="utf-8")
