"""Headless Chromium, driven with the DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket

from tests.support.servers import free_port

BROWSERS = "chromium", "chromium-browser", "google-chrome"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
PAGE_SECONDS = 90


class Page:
    """A page in a browser. address: of its DevTools websocket."""

    def __init__(self, address: str):
        self.connection = websocket.create_connection(address, timeout=PAGE_SECONDS, suppress_origin=True)
        self.commands = 0
        self.command("Page.enable")  # then it reports questions

    def command(self, method: str, **parameters: Any) -> dict:
        """The result of a DevTools method. A question that the page asks meanwhile is answered with yes."""
        number = self.send(method, **parameters)
        while True:
            answer = json.loads(self.connection.recv())
            if answer.get("method") == "Page.javascriptDialogOpening":  # such as whether to leave a changed workflow
                self.send("Page.handleJavaScriptDialog", accept=True)
            if answer.get("id") == number:
                return answer["result"]

    def send(self, method: str, **parameters: Any) -> int:
        """The number of the command, which its answer bears."""
        self.commands += 1
        self.connection.send(json.dumps({"id": self.commands, "method": method, "params": parameters}))
        return self.commands

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression; a promise is awaited. Raises RuntimeError if it throws."""
        answer = self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["result"]["description"])
        return answer["result"].get("value")

    def call(self, function: str, *arguments: Any) -> Any:
        """The JSON value of a JavaScript function, called with JSON arguments."""
        return self.evaluate(f"({function})({', '.join(map(json.dumps, arguments))})")

    def wait_for(self, condition: str) -> None:
        """Wait until a JavaScript expression is true. Raises TimeoutError after PAGE_SECONDS."""
        if not self.becomes_true(condition, PAGE_SECONDS):
            raise TimeoutError(f"this must become true within {PAGE_SECONDS} seconds: {condition}")

    def becomes_true(self, condition: str, seconds: float) -> bool:
        """Whether a JavaScript expression becomes true within so many seconds."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"Boolean({condition})"):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def mouse(self, kind: str, x: float, y: float, held: bool = False, modifiers: int = 0) -> None:
        """A mouseMoved, mousePressed or mouseReleased at a place in the window. held: the left button is down."""
        button = "none" if kind == "mouseMoved" and not held else "left"
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, buttons=int(held), clickCount=1,
                     modifiers=modifiers)

    def key(self, key: str, modifiers: int = 0) -> None:
        """Press and release a key, by its DOM name. modifiers: 1 Alt, 2 Ctrl, 4 Meta, 8 Shift, added up."""
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=key, modifiers=modifiers)

    def resize(self, width: int, height: int) -> None:
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                     mobile=False)

    def set_window(self, state: str) -> None:
        """Show the window ("normal"), or put it away ("minimized"), where the page draws nothing."""
        window = self.command("Browser.getWindowForTarget")["windowId"]
        self.command("Browser.setWindowBounds", windowId=window, bounds={"windowState": state})

    def screenshot(self, width: int, height: int) -> bytes:
        """A PNG of the page's upper left corner."""
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        return base64.b64decode(self.command("Page.captureScreenshot", clip=clip)["data"])


def find_browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise SystemExit(f"one of {', '.join(BROWSERS)} must be installed (found none)")
    return found


def page_address(port: int) -> str:
    """The DevTools address of the browser's first page, as soon as there is one."""
    deadline = time.monotonic() + PAGE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=PAGE_SECONDS) as answer:
                targets = json.load(answer)
            return next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
        except (OSError, StopIteration):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def open_page(url: str, profile: Path, size: tuple[int, int]) -> Iterator[Page]:
    """A page that shows ``url``; its browser is closed afterwards. size: width and height in pixels."""
    port = free_port()
    command = [find_browser(), *FLAGS, f"--user-data-dir={profile}", f"--remote-debugging-port={port}", url]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        page = Page(page_address(port))
        page.resize(*size)
        yield page
        page.connection.close()
    finally:
        process.terminate()
        process.wait(timeout=30)
