"""Servers that the user names on the command line. Nothing else in the pack opens a connection."""

from .http_json import base64_png, get_json, post_json
from .judge import Answer, ask, with_model

__all__ = ["Answer", "ask", "base64_png", "get_json", "post_json", "with_model"]
