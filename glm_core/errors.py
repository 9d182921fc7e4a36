"""The one error that bad input raises."""


class GLMImageError(ValueError):
    """Bad input from the user. The message names the input and says what must hold and what was found."""


def check_text(name: str, text: str) -> None:
    """Raise GLMImageError naming ``name`` unless the text can be written in UTF-8, as the tokenizers need it."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise GLMImageError(f"{name} must be text without unpaired surrogates "
                            f"(got {text[error.start]!r} at character {error.start + 1})") from error
