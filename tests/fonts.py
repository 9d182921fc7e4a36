"""Is the font of Chinese posters installed?"""

from PIL import ImageFont

from glm_core.training.posters import CHINESE_FONT


def found(name: str) -> bool:
    try:
        ImageFont.truetype(name)
    except OSError:
        return False
    return True


HAS_CHINESE = found(CHINESE_FONT)
