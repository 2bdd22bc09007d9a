"""Draws docs/report.png, the picture in the README: `make picture`.

It is the page of the embedded models on the article of the tests, with the mouse on a segment.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.tools.browser import browsing

ROOT: Final = Path(__file__).parents[2]
ARTICLE: Final = ROOT / "tests" / "data" / "article_ar.txt"
PICTURE: Final = ROOT / "docs" / "report.png"
WIDTH, HEIGHT = 1280, 1500
MOST_BYTES: Final = 300_000
"""Of a picture that people load with the README."""


def write_page(page: Path) -> None:
    """As a user would."""
    command = [sys.executable, "-m", "khulasa_server", "models", "report", str(ARTICLE)]
    subprocess.run([*command, "--to", "en", "--output", str(page)], check=True)


async def draw(scratch: Path) -> bytes:
    """The page with the mouse on the second segment of the article's translation."""
    page = scratch / "report.html"
    write_page(page)
    async with browsing(scratch / "profile") as browser:
        await browser.open(page.as_uri(), width=WIDTH, height=HEIGHT)
        await browser.scheme("light")
        await browser.point("section.translation:last-of-type [data-ids=s1]")
        await browser.ask("scrollTo(0, 0)")
        return await browser.screenshot()


def main() -> int:
    """Draw it; 1 if it is too large to commit."""
    with tempfile.TemporaryDirectory() as directory:
        picture = asyncio.run(draw(Path(directory)))
    if len(picture) > MOST_BYTES:
        sys.stderr.write(f"the picture has {len(picture)} bytes, more than {MOST_BYTES}\n")
        return 1
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_bytes(picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
