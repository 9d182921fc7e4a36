"""The one error that bad input raises."""


class GLMImageError(ValueError):
    """Bad input from the user. The message names the input and says what must hold and what was found."""
