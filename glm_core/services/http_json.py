"""JSON over HTTP with the standard library, for servers that the user names. Every error is one line."""

import base64
import json
from http.client import HTTPException
from io import BytesIO
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from PIL import Image

from ..errors import GLMImageError
from ..files import decode, parse_json, reason, shorten

MOST_BYTES = 16 * 2**20  # of an answer
LONGEST_REPLY = 300  # characters of a server's error message


class NoRedirects(HTTPRedirectHandler):
    """A redirected POST would lose its body and go to a server that the user did not name."""

    def redirect_request(self, *args: Any) -> None:
        return None


def post_json(url: str, value: dict[str, Any], timeout_s: float = 120.0) -> dict[str, Any]:
    """The JSON object that the server answers to ``value``, sent as JSON.

    timeout_s: the longest wait for a connection, and for each piece of the answer.
    Raises GLMImageError naming the URL if it is not http or https, if the server cannot be reached, answers with an
    error or a redirect, takes too long, or sends anything but a JSON object of at most MOST_BYTES.
    """
    body = json.dumps(value).encode()
    return exchange(Request(check_url(url), body, {"Content-Type": "application/json"}), timeout_s)


def get_json(url: str, timeout_s: float = 120.0) -> dict[str, Any]:
    """The JSON object at ``url``; timeout and errors as of ``post_json``."""
    return exchange(Request(check_url(url)), timeout_s)


def check_url(url: str) -> str:
    """The URL. Raises GLMImageError unless it is one of http or https with a host, and in ASCII after that."""
    try:
        parts = urlsplit(url)
        is_web = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        (parts.hostname or "").encode("idna")
        (parts.path + parts.query).encode("ascii")
    except ValueError:  # of a port, an IPv6 address, a host's name or letters that must be written as %
        is_web = False
    if not is_web:
        raise GLMImageError(f"{url}: must be a URL of a server such as http://localhost:8000/v1")
    return url


def exchange(request: Request, timeout_s: float) -> dict[str, Any]:
    url = request.full_url
    try:
        with build_opener(NoRedirects).open(request, timeout=timeout_s) as response:
            data = response.read(MOST_BYTES + 1)
    except HTTPError as error:
        raise GLMImageError(f"{url}: the server answered with error {error.code} ({explain(error)})") from error
    except TimeoutError as error:
        raise GLMImageError(f"{url}: the server did not answer within {timeout_s:g} seconds") from error
    except (OSError, HTTPException) as error:
        raise GLMImageError(f"{url}: the server cannot be reached ({reason(error)})") from error
    if len(data) > MOST_BYTES:
        raise GLMImageError(f"{url}: the answer must have at most {MOST_BYTES} bytes (got more)")
    return parse_json(decode(data, f"{url}: the answer"), f"{url}: the answer")


def explain(error: HTTPError) -> str:
    """The beginning of what the server says of its error, on one line."""
    text = read_start(error).decode("utf-8", errors="replace")
    return shorten(" ".join(text.split()), LONGEST_REPLY) or str(error.reason)


def read_start(response: IO[bytes]) -> bytes:
    try:
        return response.read(4 * LONGEST_REPLY)
    except (OSError, HTTPException):  # the connection may end before its message does
        return b""


def base64_png(image: Image.Image) -> str:
    """The image as a PNG in base64."""
    file = BytesIO()
    image.convert("RGB").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode("ascii")
