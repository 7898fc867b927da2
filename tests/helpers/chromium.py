"""A headless Chromium, driven over its DevTools protocol through two pipes: no library is needed.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",  # it reads from descriptor 3 and writes to 4
    "--no-sandbox",  # which root has none of
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
)
KEY_CODES = {" ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome; None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """A page in a browser of its own, for use as a context manager.

    Args:
        program: The browser.
        profile: Folder for its files.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self.events: list[dict[str, Any]] = []
        """What the browser reported, in order: requests, console messages, errors."""
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # The shell moves both to the numbers that Chromium looks for; not every shell takes those
        # above 9, and the last one that was opened cannot be 3 itself.
        moving = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        browser = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        self._process = subprocess.Popen(
            ["bash", "-c", moving, "bash", *browser],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._output, self._input = os.fdopen(ours_out, "wb"), os.fdopen(ours_in, "rb")
        self._count, self._session = 0, None
        targets = self.call("Target.getTargets")["targetInfos"]
        (page,) = (target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: object, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._output.close()
        self._input.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command, and return its result."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._output.write(json.dumps(message).encode() + b"\0")
        self._output.flush()
        while (answer := self._read()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, (method, params, answer["error"])
        return answer["result"]

    def _read(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._input.read(1)) != b"\0":
            assert byte, "the browser has ended"
            message += byte
        return json.loads(message)

    def open(self, path: Path, width: int, height: int, *, is_phone: bool = False) -> None:
        """Open a file in a window of this size, and wait until its script has shown something."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=path.absolute().as_uri())
        self.wait_for("document.querySelectorAll('.card').length > 0")

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; of a promise, what it becomes."""
        options = {"returnByValue": True, "awaitPromise": True}
        answer = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until an expression is true, for half a minute at most."""
        waiting = f"""new Promise((resolve, reject) => {{
            const end = Date.now() + 30000;
            const look = () => {{
                if ({condition}) resolve(true);
                else if (Date.now() > end) reject(new Error("it never became true"));
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        assert self.evaluate(waiting), condition

    def press(self, key: str) -> None:
        """Press a key and let it go."""
        code = KEY_CODES.get(key, ord(key[0].upper()))
        event = {"key": key, "windowsVirtualKeyCode": code}
        text = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def point(self, selector: str, across: float = 0.5, down: float = 0.5) -> dict[str, float]:
        """Move the mouse to a place on an element, by shares of its size; return where that is."""
        box = self.evaluate(
            f"""(() => {{
                const element = document.querySelector({json.dumps(selector)});
                element.scrollIntoView({{ block: "center" }});
                const box = element.getBoundingClientRect();
                return [box.left, box.top, box.width, box.height];
            }})()"""
        )
        place = {"x": box[0] + across * box[2], "y": box[1] + down * box[3]}
        self.call("Input.dispatchMouseEvent", type="mouseMoved", **place)
        return place

    def click(self, selector: str, across: float = 0.5, down: float = 0.5) -> None:
        """Click on a place on an element, by shares of its size."""
        place = self.point(selector, across, down)
        for kind in ("mousePressed", "mouseReleased"):
            button = {"button": "left", "buttons": 1, "clickCount": 1}
            self.call("Input.dispatchMouseEvent", type=kind, **place, **button)

    def screenshot(self, path: Path, *, is_whole: bool = False) -> None:
        """Write what the window shows, or the whole page, as a PNG."""
        answer = self.call("Page.captureScreenshot", captureBeyondViewport=is_whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def complaints(self) -> list[dict[str, Any]]:
        """Return the errors and warnings so far, of scripts, console and browser."""
        return [
            event
            for event in self.events
            if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")
            or event.get("params", {}).get("type") in ("error", "warning", "assert")
        ]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for so far."""
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]
