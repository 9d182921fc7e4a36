"""An example of a server for the reward ``http``. It needs Pillow alone.

    python docs/reward_server.py 9000
    python -m glm_core rl decoder --reward letters=1 --reward http=0.5,http://localhost:9000 ...

A request is a POST of JSON with three lists, which have one entry for each of at most 16 pictures:

    {"prompts": ["A sign that says \\"OPEN\\""], "texts": [["OPEN"]], "images": ["<PNG in base64>"]}

"texts" are those that the picture should show. The answer is one finite number per picture, in any unit, larger for
better pictures:

    {"scores": [0.31]}

Anything else ends the training with a message; what was saved before is kept. Put your own model into ``score``.
"""

import base64
import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import BytesIO

from PIL import Image, ImageStat


def score(image: Image.Image, prompt: str, texts: list[str]) -> float:
    """Here: the contrast of the picture, which knows nothing of the prompt."""
    return ImageStat.Stat(image.convert("L")).stddev[0] / 255


def answer(request: dict) -> dict:
    images = [Image.open(BytesIO(base64.b64decode(image))) for image in request["images"]]
    return {"scores": [score(*entry) for entry in zip(images, request["prompts"], request["texts"])]}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(answer(request)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Not a line for every request."""


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
