"""Bearer tokens: a file of hashes, and who a token belongs to.

A line is `NAME sha256:HEX [concurrency=N] [rate=N/UNIT]`; blank lines and lines that begin with
`#` say nothing. SHA-256 without salt or stretching is enough because tokens are random: a guess
among 2^128 does not get likelier by being fast. That is also why `hash_of` refuses short ones.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from khulasa_server.rpc.reloading import Reloaded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MIN_CHARACTERS: Final = 32
"""Of a token: so many hexadecimal digits hold 128 bits."""
PREFIX: Final = "sha256:"
UNITS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}

_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")
_RATE: Final = re.compile(rf"([1-9][0-9]{{0,8}})/({'|'.join(UNITS)})")
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls or bulk items in so many seconds, at once or spread."""

    amount: int
    unit: str

    @property
    def seconds(self) -> float:
        """Length of the unit."""
        return UNITS[self.unit]

    def __str__(self) -> str:
        return f"{self.amount}/{self.unit}"


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token.

    Args:
        name: whose it is; in logs.
        digest: SHA-256 of it.
        concurrency: most calls at once; None: any number.
        rate: most calls and bulk items in a time; None: any number.
    """

    name: str
    digest: bytes
    concurrency: int | None = None
    rate: Rate | None = None


class TokenBook:
    """The tokens that are accepted now.

    Args:
        path: file of hashes.

    Raises:
        ValueError: it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._file = Reloaded([path], _parse_file)

    def find(self, token: str) -> Token | None:
        """Whose token this is; in a time that does not depend on it."""
        digest = _digest(token)
        found = None
        for known in self._file.current:
            if hmac.compare_digest(known.digest, digest):
                found = known
        return found

    def refresh(self) -> None:
        """Take over a changed file; reads it."""
        self._file.refresh()


def new_token() -> str:
    """256 random bits as 43 characters."""
    return secrets.token_urlsafe(32)


def hash_of(token: str) -> str:
    """What the file holds in place of a token.

    Raises:
        ValueError: it is short, or no header can carry it.
    """
    if not re.fullmatch(r"[!-~]+", token):
        raise ValueError("a token is made of visible ASCII characters")
    if len(token) < MIN_CHARACTERS:
        raise ValueError(f"a token has at least {MIN_CHARACTERS} random characters")
    return PREFIX + _digest(token).hex()


def parse(text: str) -> tuple[Token, ...]:
    """The tokens of a file.

    Raises:
        ValueError: a line is wrong; it is named and never quoted, since it may hold a token.
    """
    tokens: list[Token] = []
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            tokens.append(_token(fields))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    _check(tokens)
    return tuple(tokens)


def line_of(name: str, hashed: str, concurrency: int | None = None, rate: str = "") -> str:
    """A line for the file.

    Raises:
        ValueError: it would not be accepted there.
    """
    limits = [f"concurrency={concurrency}"] if concurrency is not None else []
    limits += [f"rate={rate}"] if rate else []
    line = [name, hashed, *limits]
    _token(line)
    return " ".join(line)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _parse_file(files: list[bytes]) -> tuple[Token, ...]:
    return parse(files[0].decode("utf-8", "replace"))


def _token(fields: Sequence[str]) -> Token:
    name, hashed, *limits = [*fields, ""] if len(fields) == 1 else fields
    if not _NAME.fullmatch(name):
        raise ValueError("a name has 1 to 64 letters, digits or any of . _ @ -")
    if not _HASH.fullmatch(hashed):
        raise ValueError("after the name comes sha256: and 64 lower-case hexadecimal digits")
    known = dict(limit.partition("=")[::2] for limit in limits)
    if len(known) < len(limits) or known.keys() - {"concurrency", "rate"}:
        raise ValueError("after the hash come concurrency=N and rate=N/UNIT, each at most once")
    concurrency, rate = known.get("concurrency"), known.get("rate")
    return Token(
        name,
        bytes.fromhex(hashed.removeprefix(PREFIX)),
        None if concurrency is None else _concurrency(concurrency),
        None if rate is None else _rate(rate),
    )


def _concurrency(value: str) -> int:
    if not _NUMBER.fullmatch(value):
        raise ValueError("concurrency is a whole number from 1 on")
    return int(value)


def _rate(value: str) -> Rate:
    match = _RATE.fullmatch(value)
    if match is None:
        raise ValueError(f"rate is N/UNIT, N from 1 on and UNIT one of {', '.join(UNITS)}")
    return Rate(int(match[1]), match[2])


def _check(tokens: list[Token]) -> None:
    if not tokens:
        # A file cut short must not lock everybody out.
        raise ValueError("there is no token in it")
    for what, values in (
        ("name", [token.name for token in tokens]),
        ("hash", [token.digest for token in tokens]),
    ):
        if len(set(values)) < len(values):
            raise ValueError(f"two tokens have the same {what}")
