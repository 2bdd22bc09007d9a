"""The cache of engine outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from khulasa_server.engines.base import Finish, Generation, GenerationOptions
from khulasa_server.scheduling.cache import OutputCache, cache_key, size_of
from khulasa_server.scheduling.types import CacheMode, ModelProfile, Submission

if TYPE_CHECKING:
    from khulasa_server.engines.base import Tokens

PROFILE = ModelProfile(digest="model", tokenizer_digest="tokenizer")
SUBMISSION = Submission("m", ("a", "b"), GenerationOptions())
TARGET = ">>eng<<"
TOKENS = st.lists(st.text(max_size=4), max_size=5).map(tuple)


def output(text: str, tokens: Tokens = ()) -> Generation:
    """An output that counts 512 bytes, 4 a character and 64 a token."""
    return Generation(text, tokens, 0.0, Finish.END)


@settings(deadline=None)
@given(TOKENS, TOKENS)
def test_different_tokens_have_different_keys(one: Tokens, other: Tokens) -> None:
    """No two lists of pieces read the same, wherever their borders are."""
    assume(one != other)
    assert cache_key(PROFILE, replace(SUBMISSION, tokens=one)) != cache_key(
        PROFILE, replace(SUBMISSION, tokens=other)
    )


@pytest.mark.parametrize(
    "other",
    [
        replace(SUBMISSION, options=replace(SUBMISSION.options, beam_size=3)),
        replace(SUBMISSION, options=replace(SUBMISSION.options, max_output_tokens=255)),
        replace(SUBMISSION, options=replace(SUBMISSION.options, length_penalty=0.6)),
        replace(SUBMISSION, options=replace(SUBMISSION.options, no_repeat_ngram_size=2)),
        replace(SUBMISSION, options=replace(SUBMISSION.options, repetition_penalty=1.1)),
        replace(SUBMISSION, options=GenerationOptions(target_token=TARGET)),
        replace(SUBMISSION, deterministic=True),
        replace(SUBMISSION, tokens=("ab",)),
        replace(SUBMISSION, tokens=("a", "b", "")),
    ],
)
def test_everything_an_output_depends_on_is_in_the_key(other: Submission) -> None:
    """Each option, each piece, and whether neighbours may change the output."""
    assert cache_key(PROFILE, other) != cache_key(PROFILE, SUBMISSION)


@pytest.mark.parametrize(
    "other",
    [
        replace(PROFILE, digest="other"),
        replace(PROFILE, tokenizer_digest="other"),
        replace(PROFILE, digest="tokenizer", tokenizer_digest="model"),
    ],
)
def test_another_model_has_other_keys(other: ModelProfile) -> None:
    """A model upgrade does not answer with the old model's outputs."""
    assert cache_key(other, SUBMISSION) != cache_key(PROFILE, SUBMISSION)


def test_what_an_output_does_not_depend_on_is_not_in_the_key() -> None:
    """Position, mode and whether it is a retry are the request's business."""
    other = replace(SUBMISSION, order=9, cache_mode=CacheMode.BYPASS, retry=True)
    assert cache_key(PROFILE, other) == cache_key(PROFILE, SUBMISSION)
    assert len(cache_key(PROFILE, SUBMISSION)) == 32


def test_unpaired_surrogates_have_keys_too() -> None:
    """Pieces come from outside; no string may break the key."""
    assert cache_key(PROFILE, replace(SUBMISSION, tokens=("\ud800",)))


def test_sizes_count_text_tokens_and_overhead() -> None:
    """512 bytes, 4 for each of 2 + 3 characters, 64 for each of 2 tokens."""
    assert size_of(output("ab", ("c", "de"))) == 512 + 4 * 5 + 64 * 2


def test_what_was_stored_is_found() -> None:
    """Until it is replaced, or forgotten."""
    cache = OutputCache(10_000)
    cache.put(b"k", output("a"))
    assert cache.get(b"k") == output("a")
    assert cache.get(b"other") is None
    cache.put(b"k", output("abc"))
    assert cache.get(b"k") == output("abc")
    assert (len(cache), cache.size) == (1, 524)
    cache.clear()
    assert (len(cache), cache.size, cache.get(b"k")) == (0, 0, None)


def test_the_least_recently_used_goes_first() -> None:
    """Reading an output keeps it; storing one more makes room for it."""
    cache = OutputCache(3 * 512)
    for key in (b"1", b"2", b"3"):
        cache.put(key, output(""))
    assert (len(cache), cache.size) == (3, 3 * 512)
    cache.get(b"1")
    cache.put(b"4", output(""))
    assert cache.get(b"2") is None
    assert [cache.get(key) is not None for key in (b"1", b"3", b"4")] == [True] * 3


def test_an_output_as_large_as_the_cache_fits() -> None:
    """One byte more does not, and throws nothing out."""
    cache = OutputCache(516)
    cache.put(b"fits", output("a"))
    cache.put(b"too large", output("ab"))
    assert cache.get(b"fits") is not None
    assert cache.get(b"too large") is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400)), max_size=60))
def test_the_bound_holds_and_the_size_is_true(stored: list[tuple[int, int]]) -> None:
    """Never more bytes than allowed, and the sum of what is held."""
    cache = OutputCache(4_000)
    held: dict[bytes, Generation] = {}
    for key, length in stored:
        name = str(key).encode()
        cache.put(name, output("x" * length))
        held[name] = output("x" * length)
        found = [each for name in held if (each := cache.get(name)) is not None]
        assert cache.size == sum(map(size_of, found)) <= 4_000
        assert len(cache) == len(found)


def test_a_cache_of_no_bytes_is_off() -> None:
    """It says so, and holds nothing."""
    cache = OutputCache(0)
    cache.put(b"k", output(""))
    assert not cache.enabled
    assert OutputCache(1).enabled
    assert cache.get(b"k") is None
