"""The file of token hashes: what it accepts, and whose a token is."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.rpc.tokens import (
    UNITS,
    Rate,
    Token,
    TokenBook,
    hash_of,
    line_of,
    new_token,
    parse,
)

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from pathlib import Path
    from typing import Any

ALICE = "a" * 43
BOB = "b" * 43


def write(path: Path, text: str) -> None:
    """Replace a file as an atomic rename does."""
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """With Alice's token."""
    path = tmp_path / "tokens"
    write(path, line_of("alice", hash_of(ALICE)))
    return path


def test_a_token_is_found_by_its_hash(file: Path) -> None:
    """The token whose hash is in the file is its owner's, no other is anybody's."""
    book = TokenBook(file)
    found = book.find(ALICE)
    assert found is not None
    assert found.name == "alice"
    assert found.digest == hashlib.sha256(ALICE.encode()).digest()
    for wrong in (BOB, "", ALICE[:-1], ALICE + "a", hash_of(ALICE), found.digest.hex()):
        assert book.find(wrong) is None


def test_limits_are_read_with_the_token() -> None:
    """Concurrency and rate stand in any order behind the hash; without them there is no limit."""
    lines = f"""
        # whose tokens these are
        alice {hash_of(ALICE)} rate=10/minute concurrency=3

        bob {hash_of(BOB)}
    """
    alice, bob = parse(lines)
    assert (alice.concurrency, alice.rate) == (3, Rate(10, "minute"))
    assert alice.rate is not None
    assert (alice.rate.seconds, str(alice.rate)) == (60.0, "10/minute")
    assert (bob.concurrency, bob.rate) == (None, None)


HASH = hash_of(ALICE)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("alice", "after the name comes"),
        (f"alice {ALICE}", "after the name comes"),
        (f"alice {HASH.upper()}", "after the name comes"),
        (f"alice {HASH[:-1]}", "after the name comes"),
        (f"al:ice {HASH}", "a name has"),
        (f"alice {HASH} 3", "after the hash come"),
        (f"alice {HASH} speed=3", "after the hash come"),
        (f"alice {HASH} rate=1/day rate=2/day", "after the hash come"),
        (f"alice {HASH} concurrency=0", "concurrency is"),
        (f"alice {HASH} concurrency=-1", "concurrency is"),
        (f"alice {HASH} rate=0/second", "rate is"),
        (f"alice {HASH} rate=1/week", "rate is"),
        (f"alice {HASH} rate=10", "rate is"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(line: str, complaint: str) -> None:
    """A complaint says which line and why, and shows nothing of it: it may hold a token."""
    with pytest.raises(ValueError, match=f"line 2: {complaint}") as caught:
        parse(f"# first\n{line}\n")
    assert ALICE not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no token"),
        ("# nothing\n", "no token"),
        (f"a {HASH}\na {hash_of(BOB)}", "same name"),
        (f"a {HASH}\nb {HASH}", "same hash"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(text: str, complaint: str) -> None:
    """An empty file and doubles are mistakes, not a way to let nobody in."""
    with pytest.raises(ValueError, match=complaint):
        parse(text)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever is in the file, reading it ends with tokens or with a ValueError."""
    with suppress(ValueError):
        assert parse(text)


@given(
    name=st.from_regex(r"[A-Za-z0-9._@-]{1,64}", fullmatch=True),
    token=st.text("".join(map(chr, range(33, 127))), min_size=32, max_size=64),
    concurrency=st.none() | st.integers(1, 999_999_999),
    rate=st.none() | st.builds(Rate, st.integers(1, 999_999_999), st.sampled_from(sorted(UNITS))),
)
def test_a_line_made_here_is_read_again(
    name: str, token: str, concurrency: int | None, rate: Rate | None
) -> None:
    """What `line_of` writes, `parse` reads."""
    line = line_of(name, hash_of(token), concurrency, str(rate or ""))
    digest = hashlib.sha256(token.encode()).digest()
    assert parse(line) == (Token(name, digest, concurrency, rate),)


@pytest.mark.parametrize("token", ["short", "a" * 31, "a" * 40 + " ", "س" * 40, ""])
def test_a_weak_token_has_no_hash(token: str) -> None:
    """A token that could be guessed, or that no header carries, is not hashed."""
    with pytest.raises(ValueError, match="a token"):
        hash_of(token)


def test_new_tokens_are_accepted_and_differ() -> None:
    """What is made is long enough, and made once."""
    assert hash_of(new_token()) != hash_of(new_token())


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    """At start-up the message names the file and the fault."""
    with pytest.raises(ValueError, match=rf"none: {os.strerror(2)}"):
        TokenBook(tmp_path / "none")


def test_a_changed_file_is_taken_over(file: Path) -> None:
    """After a refresh new tokens are accepted, and those that are gone are not."""
    book = TokenBook(file)
    write(file, line_of("bob", hash_of(BOB)))
    assert book.find(BOB) is None
    book.refresh()
    assert book.find(BOB) is not None
    assert book.find(ALICE) is None


def test_a_broken_file_changes_nothing(file: Path, logged: list[MutableMapping[str, Any]]) -> None:
    """While the file is wrong or gone, the tokens before it count, and the log says so once."""
    book = TokenBook(file)
    write(file, "alice")
    book.refresh()
    book.refresh()
    assert book.find(ALICE) is not None
    assert [line["log_level"] for line in logged] == ["error"]
    file.unlink()
    book.refresh()
    assert book.find(ALICE) is not None
    write(file, line_of("bob", hash_of(BOB)))
    book.refresh()
    assert book.find(BOB) is not None
    assert [line["event"] for line in logged] == ["reload_failed", "reload_failed", "reloaded"]
