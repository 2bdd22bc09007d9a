"""What tasks tell of what they saw."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Told synchronously, so every method must be cheap and never raise."""

    def found(self, model: str, kind: str) -> None:
        """An answer holds a finding of a kind, such as `REPETITION`."""

    def retried(self, model: str, reason: str) -> None:
        """A segment is decoded again because of a finding of a kind."""
