"""Bulk files: items in, results and failures out, and what is left after an interruption.

A line of the input is an object with an `id` (a string or a number) and its text as `content` or
`text`. A line of the output is the result with the same `id`; a failure goes to another file.
"""

from __future__ import annotations

import json
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TextIO

from khulasa_client.cli.texts import as_json, decode, dump
from khulasa_client.errors import InvalidRequestError, KhulasaError
from khulasa_client.values import BulkItem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from _typeshed import DataclassInstance


@dataclass(frozen=True, slots=True)
class Failed:
    """A line or an item without a result."""

    id: object
    line: int | None
    error: KhulasaError


class Ledger:
    """The files of one bulk run; what has a result already is not done again.

    Items that failed before are tried again: their failures are forgotten at the start.

    Args:
        source: the items.
        target: the results; made, or continued after its last whole line.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self.failures_path = failures_path(target)
        if source.exists() and target.exists() and source.samefile(target):
            raise KhulasaError(f"{target} is the input: results need a file of their own")
        self._source = source
        self._target = target
        self._done = _done(target)
        self._original: dict[str, object] = {}
        """Ids in flight as they are written in the input: a number stays a number."""
        self._unusable: deque[Failed] = deque()
        """Found in the thread that reads, written in the one that writes."""
        self._files = ExitStack()
        self._results: TextIO | None = None
        self._failures: TextIO | None = None
        self.skipped = 0
        self.succeeded = 0
        self.failed = 0

    def __enter__(self) -> Self:
        try:
            self.failures_path.unlink(missing_ok=True)
            self._results = self._open(self._target)
        except OSError as error:
            raise KhulasaError(f"{error.filename}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._files.close()

    @property
    def handled(self) -> int:
        """Lines that are dealt with."""
        return self.skipped + self.succeeded + self.failed

    def lines(self) -> int:
        """How many lines the input has that are not blank."""
        with self._input() as file:
            return sum(1 for line in file if line.strip())

    def items(self) -> Iterator[BulkItem]:
        """What is still to be done."""
        seen: set[str] = set()
        with self._input() as file:
            for number, line in enumerate(file, 1):
                if line.strip() and (item := self._item(number, line, seen)) is not None:
                    yield item

    def succeed(self, key: str, value: DataclassInstance) -> None:
        """Write a result."""
        if self._results is None:
            raise RuntimeError("the files are not open")
        self._results.write(as_json(value, id=self._original.pop(key, key)) + "\n")
        self.succeeded += 1

    def fail(self, key: str, error: KhulasaError) -> None:
        """Write an item's failure."""
        self._write_failure(Failed(self._original.pop(key, key), None, error))

    def write_unusable(self) -> None:
        """Write the failures of lines that could not be sent."""
        while self._unusable:
            self._write_failure(self._unusable.popleft())

    def _item(self, number: int, line: bytes, seen: set[str]) -> BulkItem | None:
        found: object = None
        try:
            record = _record(line)
            found = record.get("id")
            key = _key(record)
            if key in seen:
                raise _unusable(f"the id {dump(found)} was used before")
            seen.add(key)
            if key in self._done:
                self.skipped += 1
                return None
            item = BulkItem(key, _content(record))
        except KhulasaError as error:
            self._unusable.append(Failed(found, number, error))
            return None
        self._original[key] = found
        return item

    def _write_failure(self, failed: Failed) -> None:
        if self._failures is None:
            self._failures = self._open(self.failures_path)
        error = failed.error
        record = {
            "id": failed.id,
            "code": error.code,
            "reason": error.reason,
            "message": error.message,
            "metadata": error.metadata,
            "request_id": error.request_id,
        }
        if failed.line is not None:
            record["line"] = failed.line
        self._failures.write(dump(record) + "\n")
        self.failed += 1

    def _open(self, path: Path) -> TextIO:
        return self._files.enter_context(path.open("a", encoding="utf-8", buffering=1))

    def _input(self) -> Any:  # noqa: ANN401 - a binary file, iterated by lines
        try:
            return self._source.open("rb")
        except OSError as error:
            raise KhulasaError(f"{self._source}: {error.strerror}") from error


def failures_path(target: Path) -> Path:
    """`OUT.errors.jsonl` for `OUT.jsonl`."""
    return target.with_name(target.name.removesuffix(".jsonl") + ".errors.jsonl")


def _done(target: Path) -> set[str]:
    """Ids of the results that are there; half a line at the end is cut off."""
    if not target.exists():
        return set()
    done: set[str] = set()
    whole = 0
    try:
        with target.open("r+b") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                done.add(_key(_record(line)))
                whole += len(line)
            file.truncate(whole)
    except OSError as error:
        raise KhulasaError(f"{target}: {error.strerror}") from error
    except InvalidRequestError as error:
        raise KhulasaError(f"{target} does not hold results: {error.message}") from error
    return done


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(decode(line, "the line"))
    except (ValueError, RecursionError) as error:
        raise _unusable(f"the line is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise _unusable("the line is not a JSON object")
    return record


def _key(record: dict[str, Any]) -> str:
    """The id as it is sent."""
    found = record.get("id")
    if isinstance(found, str):
        return found
    if isinstance(found, int | float) and not isinstance(found, bool):
        return json.dumps(found)
    raise _unusable("the line has no id that is a string or a number")


def _content(record: dict[str, Any]) -> str:
    content = record.get("content", record.get("text"))
    if not isinstance(content, str):
        raise _unusable("the line has no text as content or text")
    return content


def _unusable(message: str) -> InvalidRequestError:
    return InvalidRequestError(message, reason="LINE_INVALID")
