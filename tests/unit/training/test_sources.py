"""Data that cannot be read says which line of which file, and no source is forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from training import sources
from training.sources import DataError, Pair

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of three pairs and two sentences."""
    (tmp_path / sources.PAIRS).write_text("tatoeba\t3\tنعم\tYes\nlex:x/y\t1\tلا\tNo\n", "utf-8")
    (tmp_path / sources.DISTILLED).write_text("قلم\tPen\t0.9\n", "utf-8")
    (tmp_path / sources.DOCUMENTS).write_text("جملة أولى.\nجملة\u2028ثانية.\n", "utf-8")
    return tmp_path


def test_pairs_carry_their_source(data: Path) -> None:
    """Rows of both files, further columns left out."""
    assert sources.read_pairs(data) == [
        Pair("tatoeba", "نعم", "Yes"),
        Pair("lex:x/y", "لا", "No"),
        Pair("distilled", "قلم", "Pen"),
    ]


def test_documents_keep_their_order_and_their_lines(data: Path) -> None:
    """Only a line feed ends a line, not the other separators of Unicode."""
    assert sources.read_documents(data) == ["جملة أولى.", "جملة\u2028ثانية."]


def test_dev_set_may_be_shorter_than_asked_for(data: Path) -> None:
    """As many rows as there are."""
    assert sources.read_dev(data / sources.DISTILLED, 5) == [("قلم", "Pen")]


def test_missing_file_is_named(tmp_path: Path) -> None:
    """The message holds the path."""
    with pytest.raises(DataError, match=r"pairs\.tsv is missing"):
        sources.read_pairs(tmp_path)


def test_line_with_too_few_columns_is_named(data: Path) -> None:
    """File, line and what it has."""
    (data / sources.PAIRS).write_text("tatoeba\t3\tنعم\tYes\ntatoeba\t3\n", "utf-8")
    with pytest.raises(DataError, match=r"pairs\.tsv, line 2, has 2 of 4 columns"):
        sources.read_pairs(data)


def test_longest_name_decides_a_weight() -> None:
    """A part of a source can have a weight of its own."""
    pairs = [Pair(source, "", "") for source in ("lex:freedict", "lex:names/units", "lex:x")]
    assert sources.weights_of(pairs, {"lex:": 0.5, "lex:names/": 2.0}) == [0.5, 2.0, 0.5]


def test_source_without_a_weight_is_refused() -> None:
    """New data is weighed by someone, never left out silently."""
    with pytest.raises(DataError, match="'films' has no weight; there are lex:, tatoeba"):
        sources.weights_of([Pair("films", "", "")], {"lex:": 1.0, "tatoeba": 1.0})
