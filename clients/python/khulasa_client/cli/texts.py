"""Text in and out of the command."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from khulasa_client.errors import InvalidRequestError, KhulasaError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

BYTE_ORDER_MARK = "\ufeff"


def read(file: str) -> str:
    """The text of a file, or of stdin for `-`.

    Raises:
        KhulasaError: it cannot be read, or is not UTF-8.
    """
    name = "stdin" if file == "-" else file
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise KhulasaError(f"{name}: {error.strerror}") from error
    return decode(content, name).removeprefix(BYTE_ORDER_MARK)


def decode(content: bytes, name: str) -> str:
    """The text of bytes.

    Raises:
        InvalidRequestError: they are not UTF-8.
    """
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        message = f"{name} is not UTF-8: byte 0x{content[error.start]:02x} at {error.start}"
        metadata = {"position": str(error.start)}
        raise InvalidRequestError(message, reason="TEXT_INVALID", metadata=metadata) from None


def write(text: str, *, newline: bool = True) -> None:
    """Write to stdout, as UTF-8 whatever the locale is."""
    click.echo(text.encode(), nl=newline)


def as_json(value: DataclassInstance, **before: object) -> str:
    """A value as one line of JSON, after other keys."""
    return dump(before | dataclasses.asdict(value))


def dump(value: object) -> str:
    """One line of JSON, readable, unless it holds what has no UTF-8 form."""
    line = json.dumps(value, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return line
