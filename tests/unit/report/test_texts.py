"""What a report takes for texts, and what it says where there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from khulasa_server.report.errors import ReportError
from khulasa_server.report.texts import Text, read

if TYPE_CHECKING:
    from pathlib import Path


def written(directory: Path, name: str, content: bytes | str) -> Path:
    """A file."""
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_text_file_is_one_text_as_it_is(tmp_path: Path) -> None:
    """Blank lines and line ends of any kind stay; a byte order mark is none of the text."""
    path = written(tmp_path, "a.txt", "\ufeffسطر\r\n\r\nسطر\rآخر\n")
    assert read([path]) == [Text("a.txt", "سطر\r\n\r\nسطر\rآخر\n")]


def test_lines_of_tables_and_objects(tmp_path: Path) -> None:
    """A line is a text, with the id and the reference it brings; only so many as asked for."""
    table = written(tmp_path, "a.tsv", "نص\tText\tmore\nآخر\r\n\n")
    objects = written(
        tmp_path,
        "b.jsonl",
        '{"id": 7, "content": "ثالث"}\n{"text": "رابع\\u2028x", "summary": "4"}\n',
    )
    texts = [
        Text("1", "نص", "Text"),
        Text("2", "آخر"),
        Text("7", "ثالث"),
        Text("2", "رابع\u2028x", "4"),
    ]
    assert read([table, objects]) == texts
    assert read([table, objects], limit=3) == texts[:3]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\xff", "a.txt is not UTF-8: byte 0"),
        ("a.txt", " \n", "there is no text"),
        ("a.jsonl", "{}\n", "a.jsonl, line 1: no `text`"),
        ("a.jsonl", '{"text": "a"}\n[]\n', "a.jsonl, line 2: no object"),
        ("a.jsonl", "{\n", "a.jsonl, line 1: no JSON"),
        ("a.jsonl", '{"text": "\\ud800"}', "a.jsonl, line 1: half of a surrogate pair"),
    ],
)
def test_what_is_no_text_is_named(
    tmp_path: Path, name: str, content: bytes | str, message: str
) -> None:
    """The error names the file, the line and what is wrong with it."""
    with pytest.raises(ReportError) as caught:
        read([written(tmp_path, name, content)])
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """So does the error of a file that is not there."""
    with pytest.raises(ReportError, match=r"none\.txt: No such file"):
        read([tmp_path / "none.txt"])
