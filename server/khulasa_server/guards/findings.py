"""What a guard reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from khulasa_server.text.spans import Span


class Kind(StrEnum):
    """What a finding is about: `FindingKind` on the wire, without its prefix."""

    REPETITION = "REPETITION"
    LENGTH_RATIO = "LENGTH_RATIO"
    UNTRANSLATED = "UNTRANSLATED"
    WRONG_SCRIPT = "WRONG_SCRIPT"
    SENTINEL = "SENTINEL"
    NUMBER_MISSING = "NUMBER_MISSING"
    NUMBER_UNSUPPORTED = "NUMBER_UNSUPPORTED"
    NAME_UNSUPPORTED = "NAME_UNSUPPORTED"
    TRUNCATED = "TRUNCATED"
    PARTIAL_COVERAGE = "PARTIAL_COVERAGE"
    LANGUAGE_DOUBTFUL = "LANGUAGE_DOUBTFUL"
    EMPTY_OUTPUT = "EMPTY_OUTPUT"
    ALREADY_SHORT = "ALREADY_SHORT"
    SUMMARY_UNSUPPORTED = "SUMMARY_UNSUPPORTED"
    ENTITY_MISSING = "ENTITY_MISSING"


_LONGEST_EXCERPT = 80


def excerpt(text: str) -> str:
    """`text` as the detail of a finding quotes it: cut where it is long."""
    return text if len(text) <= _LONGEST_EXCERPT else f"{text[: _LONGEST_EXCERPT - 1]}…"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reader of an answer should know, and where.

    Args:
        kind: what was found.
        source: where in the source that was judged; None: it has no place there.
        target: where in the output that was judged; None: it has no place there.
        detail: the words in question or one sentence, for people.
        resolved: True: a retry replaced the output that had this.
    """

    kind: Kind
    source: Span | None
    target: Span | None
    detail: str
    resolved: bool = False

    def shift(self, source: int, target: int) -> Finding:
        """The same finding in texts of which the judged ones begin at these offsets."""
        return replace(
            self,
            source=self.source.shift(source) if self.source is not None else None,
            target=self.target.shift(target) if self.target is not None else None,
        )

    def resolve(self) -> Finding:
        """The same finding, told although a retry removed it: it has no place in the output."""
        return replace(self, target=None, resolved=True)
