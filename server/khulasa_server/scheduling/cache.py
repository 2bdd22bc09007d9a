"""Raw engine outputs of segments seen before, bounded in bytes."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from dataclasses import astuple
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.engines.base import Generation, GenerationOptions
    from khulasa_server.scheduling.types import ModelProfile, Submission

ENTRY_BYTES = 512
"""Counted for the key and the objects around an output."""
TOKEN_BYTES = 64
"""Counted for each token besides its characters."""
CHARACTER_BYTES = 4
"""Widest character of a Python string."""


def cache_key(profile: ModelProfile, submission: Submission) -> bytes:
    """Digest of everything that an output depends on.

    Every field is preceded by its length, so that no two lists of fields read the same.
    """
    common = _common(profile.digest, profile.tokenizer_digest, submission.options)
    own = _prefixed((str(submission.deterministic), *submission.tokens))
    return hashlib.blake2b(common + own, digest_size=32).digest()


@lru_cache(maxsize=256)
def _common(digest: str, tokenizer_digest: str, options: GenerationOptions) -> bytes:
    """The fields of a key that many segments share: writing them takes longer than the rest."""
    return _prefixed((digest, tokenizer_digest, *map(repr, astuple(options))))


def size_of(generation: Generation) -> int:
    """Bytes that an output is counted with, an upper estimate."""
    characters = len(generation.text) + sum(len(token) for token in generation.tokens)
    return ENTRY_BYTES + CHARACTER_BYTES * characters + TOKEN_BYTES * len(generation.tokens)


class OutputCache:
    """Least recently used first out.

    Args:
        limit: most bytes held; 0 holds nothing.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: OrderedDict[bytes, Generation] = OrderedDict()
        self.size = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def enabled(self) -> bool:
        """Whether anything can be held."""
        return self._limit > 0

    def get(self, key: bytes) -> Generation | None:
        """The output stored under a key, which becomes the most recently used."""
        generation = self._held.get(key)
        if generation is not None:
            self._held.move_to_end(key)
        return generation

    def put(self, key: bytes, generation: Generation) -> None:
        """Store an output; one that is larger than the whole cache is not stored."""
        if size_of(generation) > self._limit:
            return
        self._forget(key)
        self._held[key] = generation
        self.size += size_of(generation)
        while self.size > self._limit:
            self._forget(next(iter(self._held)))

    def clear(self) -> None:
        """Forget everything."""
        self._held.clear()
        self.size = 0

    def _forget(self, key: bytes) -> None:
        generation = self._held.pop(key, None)
        if generation is not None:
            self.size -= size_of(generation)


def _prefixed(fields: Sequence[str]) -> bytes:
    """How many fields there are, the length of each, and the fields."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in fields]
    lengths = array("Q", [len(encoded), *map(len, encoded)])
    return lengths.tobytes() + b"".join(encoded)
