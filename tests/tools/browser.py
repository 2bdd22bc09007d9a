"""A real headless Chromium, driven over its DevTools protocol with as much of it as tests need."""

from __future__ import annotations

import asyncio
import base64
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HOME: Final = Path(__file__).parents[2] / "build" / "tools" / "chromium"
FLAGS: Final = (
    # The sandbox needs another user than root, or namespaces that machines forbid; the only pages
    # opened here are our own.
    "--no-sandbox",
    "--no-zygote",
    "--headless=shell",
    "--disable-gpu",
    "--hide-scrollbars",
    # Where it draws letters must not depend on the machine.
    "--font-render-hinting=none",
    "--remote-debugging-port=0",
)
START_SECONDS: Final = 30
CALL_SECONDS: Final = 30
MOST_BYTES: Final = 64 << 20
"""Of one message: a screenshot comes in one."""

Object = dict[str, Any]


@dataclass(repr=False)
class Page:
    """An open page; calls one after the other.

    `requests` are the addresses it asked for, `complaints` what the browser logged and threw.
    """

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    _loaded: bool = False
    _calls: int = 0

    async def open(self, address: str, *, width: int = 1280, height: int = 900) -> None:
        """Show an address afresh; returns when it and all it needs are there."""
        self.session, self._loaded = "", False
        self.requests.clear()
        self.complaints.clear()
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        self.session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.call("Emulation.setDeviceMetricsOverride", **size)
        await self.call("Page.navigate", url=address)
        while not self._loaded:
            self._notice(await self._receive())

    async def scheme(self, name: str) -> None:
        """Prefer `light` or `dark`, and no motion, which a screenshot could catch half-way."""
        features = {"prefers-color-scheme": name, "prefers-reduced-motion": "reduce"}
        listed = [{"name": key, "value": value} for key, value in features.items()]
        await self.call("Emulation.setEmulatedMedia", features=listed)

    async def ask(self, expression: str, *, wait: bool = False) -> Any:  # noqa: ANN401 - JSON
        """What a JavaScript expression is, as JSON; `wait`: what its promise comes to.

        Raises:
            RuntimeError: it throws.
        """
        answer = await self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=wait
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    async def point(self, selector: str) -> None:
        """Move the mouse onto the first line of the first element that the selector finds."""
        place = await self.ask(
            "(() => { const found = document.querySelector(" + repr(selector) + ");"
            "found.scrollIntoView({block: 'nearest'}); const box = found.getClientRects()[0];"
            "return [box.left + box.width / 2, box.top + box.height / 2]; })()"
        )
        await self.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])

    async def press(self, key: str) -> None:
        """Press and let go one named key, such as Tab."""
        code = {"Tab": 9, "Escape": 27}[key]
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    async def screenshot(self) -> bytes:
        """What is to be seen, as PNG."""
        answer = await self.call("Page.captureScreenshot", format="png")
        return base64.b64decode(answer["data"])

    async def call(self, method: str, **parameters: Any) -> Object:  # noqa: ANN401 - JSON
        """One call of the protocol.

        Raises:
            RuntimeError: it is refused.
        """
        self._calls += 1
        message: Object = {"id": self._calls, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        await self.socket.send_json(message)
        while True:
            answer = await self._receive()
            if answer.get("id") == self._calls:
                break
            self._notice(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        result: Object = answer["result"]
        return result

    async def _receive(self) -> Object:
        received: Object = await self.socket.receive_json(timeout=CALL_SECONDS)
        return received

    def _notice(self, event: Object) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Log.entryAdded":
                self.complaints.append(parameters["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.complaints.append(parameters["exceptionDetails"]["text"])


@asynccontextmanager
async def browsing(scratch: Path) -> AsyncIterator[Page]:
    """A browser of its own, with its traces in `scratch`; it is gone afterwards."""
    environment = {
        "HOME": str(scratch),
        "LD_LIBRARY_PATH": str(HOME / "lib"),
        "FONTCONFIG_FILE": str(HOME / "fonts.conf"),
    }
    browser = await asyncio.create_subprocess_exec(
        str(HOME / "chromium"),
        *FLAGS,
        f"--user-data-dir={scratch}",
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert browser.stderr is not None
    try:
        address = await asyncio.wait_for(_address(browser.stderr), START_SECONDS)
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(address, max_msg_size=MOST_BYTES) as socket,
        ):
            page = Page(socket)
            yield page
            page.session = ""
            await page.call("Browser.close")
        # Read on: a full pipe would hold up its end.
        await asyncio.wait_for(browser.communicate(), START_SECONDS)
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()


async def _address(lines: asyncio.StreamReader) -> str:
    async for line in lines:
        if line.startswith(b"DevTools listening on "):
            return line.split()[-1].decode()
    raise RuntimeError("Chromium ended before it listened")
