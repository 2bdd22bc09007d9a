"""Real Arabic text, and the texts that break naive code."""

from __future__ import annotations

from pathlib import Path

import pytest

DATA = Path(__file__).parents[2] / "data"

# One sign, or a few, over and over: what makes an expression start again at every one.
_ENDLESS = [
    ".", ". ", "…", "،", "؟ ا", "!", "—", "- ", "-", "'", '"', '" ', "(", ")", ") ", "«", "<",
    ">>a", "ا", "ا ", "اـ", "ـ", "ا\u0301\u0323", "ا\n", "\n", " ", "\u00a0 ", "\u200d", "\u200b",
    "ﻣ", "😀", "😀 ", "🇸", "👩\u200d", "क्", "@", "@a ", "a@", "a@b.", "1.", "1. ", "- 1. ", "د.",
    "د. ", "قال. ", "https://a.b ", "www.", "<extra_id_", "،ا", ":", "٣٫",
    "كلمة كلمة كلمة كلمة كلمة\n",
]  # fmt: skip
_ENDLESS_LENGTH = 30_000


@pytest.fixture(scope="session")
def article() -> str:
    """The news article: 19 paragraphs, one of them a heading, one broken by a blank line."""
    return (DATA / "article_ar.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def news() -> list[str]:
    """300 Arabic sentences of news and encyclopedia text, one to a line in the file."""
    lines = (DATA / "pud.ar-en.tsv").read_text(encoding="utf-8").splitlines()
    return [line.split("\t")[0] for line in lines]


@pytest.fixture(params=_ENDLESS, ids=ascii)
def endless(request: pytest.FixtureRequest) -> str:
    """The longest text that a server takes by default, of one repeated sign."""
    sign: str = request.param
    return (sign * (_ENDLESS_LENGTH // len(sign))).strip() + "ا"
