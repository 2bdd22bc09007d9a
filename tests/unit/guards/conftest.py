"""Real pairs of texts, and what a broken model would make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

DATA = Path(__file__).parents[2] / "data"
GUARDS = DATA / "guards"


class Pair(NamedTuple):
    """An Arabic sentence and one English translation of it."""

    source: str
    output: str


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _pairs(path: Path) -> list[Pair]:
    return [Pair(*line.split("\t")[:2]) for line in _lines(path)]


def _records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _lines(path)]


@pytest.fixture(scope="session")
def pairs() -> dict[str, list[Pair]]:
    """Name of a set → pairs: three of human translations, two of what real models answered."""
    flores = _pairs(GUARDS / "flores-dev.ar-en.tsv")
    machine = {
        name: [
            Pair(pair.source, output)
            for pair, output in zip(flores, _lines(GUARDS / f"flores-dev.{name}"), strict=True)
        ]
        for name in ("opus-mt-output.en", "argos-output.en")
    }
    return machine | {
        "flores-dev": flores,
        "pud": _pairs(DATA / "pud.ar-en.tsv"),
        "tatoeba": _pairs(DATA / "engines" / "tatoeba.ar-en.tsv"),
    }


@pytest.fixture(scope="session")
def articles() -> list[dict[str, Any]]:
    """30 Arabic articles of documentation with the summaries their authors wrote."""
    return _records(GUARDS / "docs-ar-summaries.jsonl")


@pytest.fixture(scope="session")
def looping() -> list[dict[str, Any]]:
    """53 outputs of the embedded translator; `loop` says whether a person saw one."""
    return _records(GUARDS / "loops.jsonl")
