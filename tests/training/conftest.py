from tests.support.chinese_fonts import boxes_for_characters

__all__ = ["boxes_for_characters"]
