"""Whether Arabic is taken for another language of its script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fidelity.sets import pairs, percent

from khulasa_server.guards.language import doubt_language

if TYPE_CHECKING:
    from collections.abc import Iterator


def measured() -> Iterator[tuple[str, dict[str, str]]]:
    """Sentence by sentence, which is harder than whole texts."""
    table = {}
    for name, items in pairs().items():
        if "references" in name:
            doubted = sum(bool(doubt_language(source, "ar")) for source, _ in items)
            table[name] = percent(doubted / len(items))
    yield "Arabic sentences whose language is doubted", table
