"""What a translation must keep, with the embedded translator, which copies hardly anything itself.

Every kind of thing that is never translated stands in mid-sentence, where the model has to be
worked around; the model runs in a process of its own, behind a real channel.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest

from khulasa.v1 import common_pb2, translation_pb2, translation_pb2_grpc

if TYPE_CHECKING:
    from collections.abc import Iterator

COPIED: Final = translation_pb2.SEGMENT_OUTCOME_COPIED
RUNS: Final = {
    "address": ("زوروا الموقع https://example.com/news?id=7&lang=ar لقراءة الخبر كاملا.", 1),
    "bracketed address": ("قرأت هذا الخبر (انظر http://a.org/b_(c)) في الصباح.", 1),
    "bare domain": ("زوروا موقع khulasa.example.com لقراءة الخبر.", 1),
    "mail": ("اكتب إلى info@example.com قبل يوم الجمعة.", 1),
    "hashtag": ("كتب الناس عن #القاهرة_اليوم كثيرا في المساء.", 1),
    "mention": ("شكرا لك يا @sara_99 على الكتاب الجديد.", 1),
    "emoji": ("أحب القهوة ☕ في الصباح.", 1),
    "joined emoji": ("رأيت عائلة 👨‍👩‍👧 في الحديقة.", 1),
    "flag": ("سافرت إلى مصر 🇪🇬 مع صديقي.", 1),
    "several": ("كتب @ahmad عن #السفر في www.example.org/a اليوم 😀 مع صديقه.", 4),
}
NUMBERS: Final = {
    "وصل 250 رجلا إلى المدينة.": ["250"],
    "ولد أخي في عام ٢٠١٥ في القاهرة.": ["2015"],
    "السعر 3.5 دولار اليوم.": ["3.5"],
    "زادت الأسعار بنسبة ٪12 في هذا العام.": ["12"],
    "وصل القطار في الساعة 9:30 صباحا.": ["9:30"],
    # Numbers that nobody spells out.
    "عندي 34 كتابا و 78 قلما في البيت.": ["34", "78"],
}
RUN: Final = re.compile(
    r"(?:https?://|www\.)\S*[\w/)](?=\)? )|\S+\.example\.com|\S+@\S+\.com|[#@]\w+|☕|👨‍👩‍👧|🇪🇬|😀"
)
BLOCKS: Final = """# عنوان كبير

هذا بيت جديد. وهذا كتاب.

- كتاب جديد
- بيت كبير
  • ولد صغير

1. ذهب الولد إلى المدرسة
٢) عاد إلى البيت


وصل أخي اليوم.
"""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a process with the embedded translator alone serves."""
    settings = {
        "KHULASA_LISTEN": "127.0.0.1:0",
        "KHULASA_METRICS_LISTEN": "127.0.0.1:0",
        "KHULASA_MODELS": "demo-marian-ar-en",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "khulasa_server", "serve"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **settings},
    ) as server:
        assert server.stdout is not None
        try:
            yield str(json.loads(server.stdout.readline())["grpc"])
        finally:
            server.kill()


async def translated(address: str, text: str) -> Any:  # noqa: ANN401 - a message
    """The translation of one text, its spans checked."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = translation_pb2_grpc.TranslationServiceStub(channel)
        request = translation_pb2.TranslateRequest(contents=[text])
        (translation,) = (await stub.Translate(request, timeout=60)).translations
    reached = written = 0
    for segment in translation.segments:
        assert not text[reached : segment.source.start].strip()
        assert not translation.text[written : segment.target.start].strip()
        reached, written = segment.source.end, segment.target.end
    assert not text[reached:].strip()
    assert not translation.text[written:].strip()
    return translation


@pytest.mark.parametrize("kind", RUNS)
async def test_what_is_not_translated_survives_in_mid_sentence(address: str, kind: str) -> None:
    """Every address, tag, mention and emoji comes out letter by letter, once, in its order."""
    text, count = RUNS[kind]
    runs = RUN.findall(text)
    assert len(runs) == count
    translation = await translated(address, text)
    assert RUN.findall(f"{translation.text} ") == runs
    rest = RUN.sub("", translation.text)
    assert re.search(r"[A-Za-z]{2}", rest), "the words around were translated"
    assert not re.search(r"[ء-ي]", rest)
    missing = common_pb2.FINDING_KIND_ENTITY_MISSING
    assert all(f.resolved for f in translation.findings if f.kind == missing)


@pytest.mark.parametrize("text", NUMBERS)
async def test_numbers_survive(address: str, text: str) -> None:
    """Every numeral of a sentence comes out, in the digits of the target language."""
    translation = await translated(address, text)
    numerals = re.findall(r"\d+(?:[.:]\d+)*", translation.text)
    assert [number for number in NUMBERS[text] if number not in numerals] == []


async def test_the_shape_of_a_text_survives(address: str) -> None:
    """Headings, list marks, paragraphs and blank lines stand where they stood."""
    translation = await translated(address, BLOCKS)
    lines, written = BLOCKS.split("\n"), translation.text.split("\n")
    assert [line == "" for line in written] == [line == "" for line in lines]
    marks = re.compile(r"\s*(?:[#•-]|[\d٢]+[.)])\s?")
    for line, other in zip(lines, written, strict=True):
        mark = marks.match(line)
        assert mark is None or other.startswith(mark[0])
        assert not re.search(r"[ء-ي]", other)
    copied = [s for s in translation.segments if s.outcome == COPIED]
    assert [s.source.end - s.source.start for s in copied] == [1, 1, 1, 1, 2, 2]
