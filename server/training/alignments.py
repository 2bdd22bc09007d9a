"""Which Arabic word each English word of a pair translates, counted from all pairs together.

Source: R. Östling and J. Tiedemann, "Efficient Word Alignment with Markov Chain Monte Carlo",
2016 (eflomal); what a translator does with them: S. Garg et al., "Jointly Learning to Align and
Translate with Transformer Models", EMNLP 2019.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from training.sources import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from training.sources import Pair

Links: TypeAlias = tuple[int, ...]
"""Of each English word, the number of its Arabic word, from 0; `NONE` where there is none."""

NONE: Final = -1

_STEM = 5
_BEFORE = re.compile(r"^(?:[وف]?(?:[بك]?ال|لل)|[وف](?=\w{3}))")
_MARKS = re.compile(r"[\u064b-\u0652\u0670\u0640]|[^\w\s]|_")


def stems(text: str) -> list[str]:
    """A text's words, cut to what the forms of a word have in common; as many as it has words.

    Few words occur often enough to be counted form by form.
    """
    bare = (_MARKS.sub("", word.lower()) or "." for word in text.split())
    return [_BEFORE.sub("", word)[:_STEM] or word for word in bare]


def align(pairs: Sequence[Pair]) -> list[Links]:
    """Links of every pair."""
    from eflomal import Aligner  # noqa: PLC0415 - only this command needs it

    arabic = [" ".join(stems(pair.arabic)) for pair in pairs]
    english = [" ".join(stems(pair.english)) for pair in pairs]
    with tempfile.TemporaryDirectory() as directory:
        links = Path(directory) / "links"
        Aligner().align(arabic, english, links_filename_fwd=str(links))
        lines = links.read_text("ascii").splitlines()
    both = zip(lines, pairs, strict=True)
    return [_links(line, len(pair.english.split())) for line, pair in both]


def _links(line: str, words: int) -> Links:
    both = (one.split("-") for one in line.split())
    found = {int(english): int(arabic) for arabic, english in both}
    return tuple(found.get(word, NONE) for word in range(words))


def write(path: Path, links: Iterable[Links]) -> None:
    """One line a pair."""
    path.write_text("".join(f"{' '.join(map(str, one))}\n" for one in links), "ascii")


def read(path: Path, pairs: Sequence[Pair]) -> Iterator[Links]:
    """Links of pairs, from a file that was written for them.

    Raises:
        DataError: the file is missing, or is one of other pairs.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing; `python -m training align` writes it")
    lines = path.read_text("ascii").splitlines()
    if len(lines) != len(pairs):
        raise DataError(f"{path} has {len(lines)} lines, and there are {len(pairs)} pairs")
    for number, (line, pair) in enumerate(zip(lines, pairs, strict=True), start=1):
        links = tuple(map(int, line.split()))
        if len(links) != len(pair.english.split()):
            raise DataError(f"{path}, line {number}, is of another pair")
        yield links
