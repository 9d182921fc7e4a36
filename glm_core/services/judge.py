"""Questions about pictures, answered by a vision-language model behind an OpenAI-compatible chat completions server.

vLLM, SGLang, llama.cpp, Ollama and LM Studio serve one. No key is sent.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urldefrag

from PIL import Image

from ..errors import GLMImageError
from ..files import quote
from .http_json import base64_png, check_url, get_json, post_json

COMPLETIONS = "/chat/completions"
MOST_TOKENS = 1024  # of an answer


@dataclass(frozen=True)
class Answer:
    """What the judge said, and the name of the model that said it, as the server reports it."""

    text: str
    model: str


def ask(url: str, question: str, image: Image.Image, timeout_s: float = 120.0,
        max_tokens: int = MOST_TOKENS) -> Answer:
    """The answer to a question about an image, at temperature 0.

    url: of the server, up to and including its version (http://localhost:8000/v1), or of its chat completions; the
    model's name may follow after #. Without it the server must offer just one model. For many questions, pass what
    ``with_model`` returns, which saves looking that up each time.
    timeout_s: the longest wait for a connection, and for each piece of the answer. max_tokens: where the answer is cut.
    Raises GLMImageError if the server cannot be reached, takes too long, or answers with an error or without text.
    """
    base, model = split_url(with_model(url, timeout_s))
    content = [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64_png(image)}"}},
               {"type": "text", "text": question}]
    value = {"model": model, "temperature": 0, "max_tokens": max_tokens,
             "messages": [{"role": "user", "content": content}]}
    reply = post_json(base + COMPLETIONS, value, timeout_s)
    reported = reply.get("model")
    return Answer(text_of(reply, base), reported if isinstance(reported, str) and reported else model)


def with_model(url: str, timeout_s: float = 120.0) -> str:
    """The URL followed by # and the name of the model: the one given, or the only one that the server offers.

    Raises GLMImageError as ``ask`` does, and if the server offers no model or several.
    """
    base, model = split_url(url)
    return f"{base}#{model or only_model(base, timeout_s)}"


def split_url(url: str) -> tuple[str, str]:
    """URL of the server without the name of the resource, and the model's name ("" if none is given)."""
    base, model = urldefrag(check_url(url))
    return base.rstrip("/").removesuffix(COMPLETIONS), model


def only_model(base: str, timeout_s: float) -> str:
    found = get_json(f"{base}/models", timeout_s).get("data")
    entries = found if isinstance(found, list) else []
    names = [entry["id"] for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
    if len(names) != 1:
        raise GLMImageError(f"{base}: the server must offer one model, or the URL must end with # and the name of one "
                            f"(got {quote(', '.join(names) or 'no model')})")
    return names[0]


def text_of(reply: dict[str, Any], url: str) -> str:
    """The text of the first choice, with ? for halves of surrogate pairs, which no file could hold.

    Raises GLMImageError if there is none.
    """
    match reply:
        case {"choices": [{"message": {"content": str(text)}}, *_]}:
            return text.encode("utf-8", "replace").decode("utf-8")
    raise GLMImageError(f"{url}: the answer must have text in choices[0].message.content (got {quote(reply)})")
