"""The texts of a report, from files.

| file | texts |
|---|---|
| `.tsv` | one a line, the first column; the second, if there is one, is a reference |
| `.jsonl` | one a line: `text`, maybe `id`, and a reference in `summary` or `translation` |
| any other | one: the whole file |
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from khulasa_server.report.errors import ReportError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

BYTE_ORDER_MARK = "\ufeff"
_CONTENTS = ("text", "content")
_REFERENCES = ("translation", "summary", "reference")


@dataclass(frozen=True, slots=True)
class Text:
    """A text to answer.

    Args:
        id: what the page calls it.
        content: it.
        reference: what a person made of it; empty: unknown.
    """

    id: str
    content: str
    reference: str = ""


def read(paths: Iterable[Path], limit: int = 0) -> list[Text]:
    """The texts of all files, in order; at most `limit`, unless it is 0.

    Raises:
        ReportError: a file cannot be read or holds no text; the message names file and line.
    """
    texts = [text for path in paths for text in _of(path)]
    if not texts:
        raise ReportError("there is no text: every file is empty")
    return texts[: limit or None]


def _of(path: Path) -> Iterator[Text]:
    try:
        # Bytes, since reading as text would change line ends and with them the places of findings.
        content = path.read_bytes().decode().removeprefix(BYTE_ORDER_MARK)
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ReportError(f"{path} is not UTF-8: byte {error.start}") from None
    reader = {".tsv": _tsv, ".jsonl": _jsonl}.get(path.suffix)
    if reader is None:
        if content.strip():
            yield Text(path.name, content)
        return
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            yield _line(path, number, reader(number, line.removesuffix("\r")))


def _line(path: Path, number: int, read: Text | str) -> Text:
    if isinstance(read, str):
        raise ReportError(f"{path}, line {number}: {read}")
    return read


def _tsv(number: int, line: str) -> Text | str:
    content, _, rest = line.partition("\t")
    return Text(str(number), content, rest.partition("\t")[0])


def _jsonl(number: int, line: str) -> Text | str:
    """A text, or what is wrong with the line."""
    try:
        entry = json.loads(line)
    except ValueError as error:
        return f"no JSON: {error}"
    if not isinstance(entry, dict):
        return "no object"
    content = _first(entry, _CONTENTS)
    if not content:
        return "no `text`"
    text = Text(str(entry.get("id", number)), content, _first(entry, _REFERENCES))
    return text if _encodes(text) else "half of a surrogate pair, which is no text"


def _first(entry: dict[str, object], names: Iterable[str]) -> str:
    found = (entry[name] for name in names if name in entry)
    return next((value for value in found if isinstance(value, str)), "")


def _encodes(text: Text) -> bool:
    try:
        f"{text.id}{text.content}{text.reference}".encode()
    except UnicodeEncodeError:
        return False
    return True
