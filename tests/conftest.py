"""What tests of every kind share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def article() -> str:
    """The news article that the product is first judged on."""
    return (Path(__file__).parent / "data" / "article_ar.txt").read_text("utf-8")
