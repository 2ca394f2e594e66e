"""A headless Chromium, driven over a pipe by its own protocol: sizes, colour schemes, requests."""

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


@pytest.fixture(scope="session")
def browser_page():
    """A tab of a headless Chromium."""
    browser = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium here; .ci/run installs one where it can")
    with _open(browser) as page:
        yield page


@contextmanager
def _open(browser):
    """Start a Chromium without a profile; it ends with the block."""
    here_in, there_out = os.pipe()
    there_in, here_out = os.pipe()
    # The protocol wants 3 and 4, which a shell can arrange if these are others.
    for_commands, for_answers = (
        fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (there_in, there_out)
    )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            browser,
            "--headless",
            "--no-sandbox",  # of a container's root
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
        ]
        shell = f'exec "$@" 3<&{for_commands} 4>&{for_answers}'
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command],
            pass_fds=(for_commands, for_answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for end in (there_in, there_out, for_commands, for_answers):
            os.close(end)
        try:
            with os.fdopen(here_in, "rb") as answers, os.fdopen(here_out, "wb") as commands:
                yield _Page(answers, commands)
        finally:
            process.terminate()
            process.wait(timeout=30)


class _Page:
    """One tab."""

    def __init__(self, answers, commands):
        self._answers, self._commands = answers, commands
        self._numbers = itertools.count(1)
        self._session = None
        self.requested = []
        self._n_loaded = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        self.call("Page.enable")
        self.call("Network.enable")

    def show(self, path: Path, *, width: int, scheme: str) -> None:
        """Open a file in a window of some width, in "light" or "dark"."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=844,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        before = self._n_loaded
        self.call("Page.navigate", url=path.resolve().as_uri())
        while self._n_loaded == before:
            self._next()

    def evaluate(self, expression: str):
        """Return the value of an expression of JavaScript."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """Take a picture of the whole page."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def call(self, method, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while True:
            answer = self._next()
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self):
        data = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            assert byte, "the browser has ended"
            data += byte
        message = json.loads(data)
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        self._n_loaded += message.get("method") == "Page.loadEventFired"
        return message
