"""The demo model's world: posters that the program draws, their captions, and the codes of their cells."""
