"""Reading the text in pictures, and comparing it with the text that they should show."""

from .check import Reading, annotate, rank_readings, read_picture, wrong_pictures
from .reader import FindText, Reader, TextBox, load_ocr, make_reader, read_words
from .words import WordResult, edit_distance, mean, normalise, pair_words, wanted_words, word_figures

__all__ = ["FindText", "Reader", "Reading", "TextBox", "WordResult", "annotate", "edit_distance", "load_ocr",
           "make_reader", "mean", "normalise", "pair_words", "rank_readings", "read_picture", "read_words",
           "wanted_words", "word_figures", "wrong_pictures"]
