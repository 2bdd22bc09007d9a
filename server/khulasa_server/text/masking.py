"""A sentence in which what must not be translated is replaced by what a model copies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import regex

from khulasa_server.text import verbatim

_LETTERS: Final = "XBAC"
"""A stand-in is one of these with a number: `X1`. Both are pieces of the tokenizers of
opus-mt-ar-en and of the embedded translator. Of 59 Latin words in the Arabic of FLORES-200 dev
opus-mt-ar-en wrote 54 as they were, all 22 in capitals among them."""
_TAKEN: Final = {letter: regex.compile(rf"(?i){letter}\d") for letter in _LETTERS}
_STAND_IN = regex.compile(rf"(?<!\w)[{_LETTERS}]\d+(?!\w)")


@dataclass(frozen=True, slots=True)
class Masked:
    """A text for a model, and what to put back into its output.

    Args:
        text: with a stand-in for each run.
        runs: stand-in → what it stands for.
    """

    text: str
    runs: dict[str, str]

    def restore(self, output: str) -> str:
        """`output` with every run in the place of its stand-in; a lost one is not made up for."""
        if not self.runs:
            return output
        return _STAND_IN.sub(lambda match: self.runs.get(match[0], match[0]), output)


def mask(text: str) -> Masked:
    """`text` with every address, tag, mention and emoji replaced by a stand-in.

    A text that spells every kind of stand-in itself stays as it is.
    """
    runs = verbatim.runs(text)
    letter = next((letter for letter in _LETTERS if not _TAKEN[letter].search(text)), "")
    if not runs or not letter:
        return Masked(text, {})
    parts, masks, reached = [], {}, 0
    for number, run in enumerate(runs, 1):
        name = f"{letter}{number}"
        masks[name] = run.of(text)
        before, after = text[reached : run.start], text[run.end : run.end + 1]
        parts += [before, _space(before[-1:]), name, _space(after)]
        reached = run.end
    return Masked("".join([*parts, text[reached:]]), masks)


def _space(neighbour: str) -> str:
    """What keeps a stand-in from being read as a part of the word beside it."""
    return " " if neighbour.isalnum() else ""
