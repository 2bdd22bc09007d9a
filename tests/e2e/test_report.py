"""The page of `models report` in a real browser: what a person sees, points at and reaches."""

from __future__ import annotations

import asyncio
import json
import os
import re
import struct
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from tests.tools.browser import HOME, browsing

from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.report.answering import Answered
from khulasa_server.report.page import render
from khulasa_server.report.texts import Text
from khulasa_server.tasks.values import ModelRef, Outcome, Segment, Translation, Usage
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.tools.browser import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOSTILE = (
    '😀 <script>window.ran = 1</script> قال: "لا"  في 1979.\r\n\r\n\t• البند <b>الأول</b> &amp;\n'
)
TRANSLATION = "#text-1 > section.translation:last-of-type"
SUMMARY = "#text-1 > section.summary"


@pytest.fixture(scope="module")
def report(article: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the embedded models on the article and on a text that brings markup."""
    if not HOME.is_dir():
        pytest.skip("Chromium is missing: run python -m tests.tools.install_chromium")
    folder = tmp_path_factory.mktemp("report")
    lines = [{"id": "article", "text": article}, {"id": "hostile", "text": HOSTILE}]
    (folder / "texts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    command = [sys.executable, "-m", "khulasa_server", "models", "report", "texts.jsonl"]
    done = subprocess.run(
        [*command, "--to", "en", "--output", "report.html"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("report.html: 2 texts")
    return folder / "report.html"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(report: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Page]:
    """One browser for all tests of this file."""
    del report  # or the reason why there is none
    async with browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest_asyncio.fixture(loop_scope="module")
async def page(browser: Page, report: Path) -> Page:
    """The report, opened afresh."""
    await browser.open(report.as_uri())
    await browser.scheme("light")
    return browser


async def lit(page: Page) -> list[dict[str, Any]]:
    """What is highlighted by pointing or focus: text, ids, and the column it stands in."""
    found: list[dict[str, Any]] = await page.ask(
        "[...document.querySelectorAll('.lit')].map(e => ({text: e.textContent,"
        " ids: e.dataset.ids || e.dataset.under, outline: getComputedStyle(e).outlineStyle,"
        " column: e.closest('.source, .target, .scores, .notes, .evidence')?.classList[0] == 'text'"
        " ? e.closest('.text').classList[1] : e.closest('ul, ol')?.className}))"
    )
    return found


async def test_pointing_at_a_segment_lights_its_counterpart(page: Page) -> None:
    """Source, translation and score of one segment light up, visibly, and of no other."""
    before = await page.screenshot()
    assert await lit(page) == []
    await page.point(f"{TRANSLATION} .source [data-ids=s1]")
    shown = [one for one in await lit(page) if one["ids"] == "s1"]
    assert [one["column"] for one in shown] == ["source", "scores", "target"]
    assert {one["outline"] for one in shown} == {"solid"}
    assert all(re.fullmatch(r"f\d+( f\d+)*|s1", one["ids"]) for one in await lit(page))
    after = await page.screenshot()
    assert after[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", after[16:24]) == (1280, 900)
    assert before != after
    await page.point("h1")
    assert await lit(page) == []


async def test_pointing_works_from_the_other_side(page: Page) -> None:
    """The translation of a segment, and its score, light the source."""
    for column in (".target", ".scores"):
        await page.point(f"{TRANSLATION} {column} [data-ids=s0]")
        columns = {one["column"] for one in await lit(page) if one["ids"] == "s0"}
        assert columns == {"source", "scores", "target"}


async def test_the_keyboard_reaches_what_the_mouse_does(page: Page) -> None:
    """Tab comes to a segment and lights its counterpart; Escape puts the light out."""
    heading = f"document.querySelector('{TRANSLATION} h3')"
    await page.ask(f"{heading}.tabIndex = -1; {heading}.focus()")
    for _ in range(3):  # past what can be opened before the rows
        await page.press("Tab")
        focused = await page.ask("document.activeElement.dataset.ids")
        if focused:
            break
    assert focused == "s0"
    assert [one["column"] for one in await lit(page) if one["ids"] == focused] == [
        "source",
        "scores",
        "target",
    ]
    assert await page.ask("getComputedStyle(document.activeElement).outlineWidth") == "2px"
    await page.press("Escape")
    assert await lit(page) == []


async def test_findings_are_marked_where_they_are(browser: Page, tmp_path: Path) -> None:
    """Two that overlap, after an emoji: each note lights its own letters and has a number."""
    source, output = "😀 في 12.", "😀 in the the the 13."
    findings = (
        Finding(Kind.REPETITION, None, Span(5, 16), "3.0 times: the"),
        Finding(Kind.NUMBER_UNSUPPORTED, Span(5, 7), Span(13, 19), "13"),
    )
    translation = Translation(
        text=output,
        segments=(Segment(Span(0, 8), Span(0, 20), -0.7, Outcome.TRANSLATED),),
        findings=findings,
        model=ModelRef("none", "sha256:0"),
        usage=Usage(),
        source_language_code="ar",
        target_language_code="en",
    )
    page = tmp_path / "page.html"
    page.write_text(render("page", [], [Answered(Text("1", source), (translation,))]), "utf-8")
    await browser.open(page.as_uri())
    for note, kind, marked, count in (
        ("f1", "REPETITION", "the the the", 2),
        ("f2", "NUMBER_UNSUPPORTED", "12the 13", 3),
    ):
        await browser.point(f".margin [data-ids={note}]")
        shown = await lit(browser)
        marks = [one for one in shown if one["column"] != "notes"]
        assert kind in shown[-1]["text"]
        assert "".join(one["text"] for one in marks) == marked
        assert len(marks) == count
        assert {one["outline"] for one in marks} == {"solid"}
    await browser.point("h1")
    drawn = await browser.ask(
        "[...document.querySelectorAll('.row mark')].map(e => [e.textContent, e.className.trim(),"
        " getComputedStyle(e).textDecorationStyle, getComputedStyle(e, '::after').content])"
    )
    assert drawn == [
        ["12", "fact", "double", '"2"'],
        ["the the ", "fault", "wavy", "none"],
        ["the", "fault fact", "double", '"1"'],
        [" 13", "fact", "double", '"2"'],
    ]


async def test_a_summary_sentence_lights_what_it_rests_on(page: Page, article: str) -> None:
    """Sentence, support and source sentence are linked; what was not read is told."""
    await page.point(f"{SUMMARY} .target [data-ids~=e0]")
    shown = [one for one in await lit(page) if "e0" in one["ids"].split()]
    assert [one["column"] for one in shown] == ["source", "target", "evidence"]
    assert shown[0]["text"] in article
    support = await page.ask(f"document.querySelector('{SUMMARY} .evidence meter').value")
    assert 0 < support <= 1
    coverage = await page.ask(f"document.querySelector('{SUMMARY} .facts meter').value")
    unread = await page.ask(
        f"[...document.querySelectorAll('{SUMMARY} mark.unread')].map(e => e.textContent).join('')"
    )
    assert len(unread) == pytest.approx(len(article) * (1 - coverage), rel=0.01)
    assert article.endswith(unread)


async def test_a_chunk_lights_what_was_read(page: Page, article: str) -> None:
    """The one chunk of a summary of the lead lights the beginning of the text."""
    await page.ask(f"document.querySelector('{SUMMARY} .parts').open = true")
    await page.point(f"{SUMMARY} .parts [data-ids=c0]")
    shown = [one["text"] for one in await lit(page) if one["ids"] == "c0"]
    assert article.startswith("".join(shown[:-1]))
    assert len(shown) >= 2


async def test_every_character_is_there_and_none_is_run(page: Page, article: str) -> None:
    """The texts on the page are the texts, white space too; markup in them stays text."""
    for number, text in enumerate((article, HOSTILE), start=1):
        summarized, *rows = await page.ask(
            f"[...document.querySelectorAll('#text-{number} > section:not(.translation) .source,"
            f" #text-{number} > section.translation:last-of-type .source')].map(e => e.textContent)"
        )
        assert summarized == text
        assert "".join(rows) == text
    assert await page.ask("typeof window.ran") == "undefined"
    assert await page.ask("getComputedStyle(document.querySelector('.text')).whiteSpace") in {
        "pre-wrap",
        "break-spaces",
    }


async def test_the_page_asks_for_nothing_else(page: Page, report: Path) -> None:
    """It loads from a file, makes no request, breaks no rule of its own policy."""
    await page.point(f"{TRANSLATION} .source [data-ids=s0]")
    assert page.requests == [report.as_uri()]
    assert page.complaints == []
    assert (
        await page.ask(
            "fetch('https://example.invalid/').then(() => 'sent', () => 'refused')", wait=True
        )
        == "refused"
    )
    assert any("Content Security Policy" in one for one in page.complaints)


async def test_arabic_runs_from_right_to_left(page: Page) -> None:
    """Source and summary do, the translation does not, whatever the page around them does."""
    directions = await page.ask(
        f"['{SUMMARY} .source', '{SUMMARY} .target', '{TRANSLATION} .source',"
        f" '{TRANSLATION} .target', 'body']"
        ".map(s => getComputedStyle(document.querySelector(s)).direction)"
    )
    assert directions == ["rtl", "rtl", "rtl", "ltr", "ltr"]
    fonts = await page.ask("document.fonts.check('16px \"Noto Naskh Arabic\"', 'خ')")
    assert fonts


async def test_night_is_dark(page: Page) -> None:
    """The page follows the scheme its reader prefers."""
    ground = "getComputedStyle(document.body).backgroundColor"
    light = await page.ask(ground)
    await page.scheme("dark")
    assert (light, await page.ask(ground)) == ("rgb(251, 250, 246)", "rgb(23, 24, 26)")


async def test_a_narrow_window_needs_no_sideways_scrolling(page: Page, report: Path) -> None:
    """On a telephone the columns stand below one another."""
    await page.open(report.as_uri(), width=380)
    assert await page.ask("document.documentElement.scrollWidth") == 380


async def test_chromium_brings_what_a_slim_machine_lacks(report: Path) -> None:
    """Every library that the browser loads is beside it, or every Linux has it."""
    del report  # or the reason why there is no browser
    ldd = await asyncio.create_subprocess_exec(
        "ldd",
        HOME / "chromium",
        env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(HOME / "lib")},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await ldd.communicate()
    assert ldd.returncode == 0
    found = dict(line.strip().split(" => ") for line in said.decode().splitlines() if "=>" in line)
    foreign = {name for name, place in found.items() if not place.startswith(str(HOME))}
    assert foreign <= {
        "libc.so.6",
        "libdl.so.2",
        "libgcc_s.so.1",
        "libm.so.6",
        "libpthread.so.0",
    }
