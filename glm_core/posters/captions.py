"""The caption of a poster, in English or Chinese. For a poster on the token grid it says everything."""

from .scene import Item, Poster

CHINESE_NAMES = {
    "red": "红色", "orange": "橙色", "yellow": "黄色", "green": "绿色", "blue": "蓝色", "purple": "紫色",
    "black": "黑色", "white": "白色", "grey": "灰色", "pink": "粉色",
    "circle": "圆形", "square": "方形", "triangle": "三角形", "diamond": "菱形", "cross": "十字",
    "top left": "左上角", "top": "顶部", "top right": "右上角",
    "left": "左侧", "centre": "中央", "right": "右侧",
    "bottom left": "左下角", "bottom": "底部", "bottom right": "右下角",
    "": "", "small": "小号", "large": "大号", "serif": "宋体",
}


def caption(poster: Poster) -> str:
    """The poster's caption in its language, with its words in quotation marks."""
    return chinese_caption(poster) if poster.language == "zh" else english_caption(poster)


def with_article(phrase: str) -> str:
    return f"an {phrase}" if phrase[0] in "aeiou" else f"a {phrase}"


def english_item(item: Item, font: str) -> str:
    look = f"{item.size} {item.colour}".strip()
    if item.kind:
        return f"{with_article(look)} {item.kind}"
    style = f"{look} {font}".strip()
    return f'"{item.text}" in {style} letters'


def english_caption(poster: Poster) -> str:
    background = with_article(poster.background).capitalize()
    items = [f"{item.zone_phrase.capitalize()}, {english_item(item, poster.font)}." for item in poster.items]
    return " ".join([f"{background} poster.", *items])


def chinese_item(item: Item, font: str) -> str:
    look = CHINESE_NAMES[item.size] + CHINESE_NAMES[item.colour]
    if item.kind:
        return look + CHINESE_NAMES[item.kind]
    return f"{look}{CHINESE_NAMES[font]}的“{item.text}”"


def chinese_caption(poster: Poster) -> str:
    background = CHINESE_NAMES[poster.background]
    items = [f"{CHINESE_NAMES[item.zone_name]}，{chinese_item(item, poster.font)}。" for item in poster.items]
    return f"{background}海报。" + "".join(items)
