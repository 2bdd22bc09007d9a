"""What Arabic vowel marks cost a model: measured with its own tokenizer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.manifest import VowelMarks

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_WRITTEN_WITH_MARKS: Final = frozenset({"ar"})

_VOCALIZED: Final = """إِنَّ العِلْمَ نُورٌ يُضِيءُ طَرِيقَ الإِنْسَانِ فِي الحَيَاةِ.
ذَهَبَ الوَلَدُ إِلَى المَدْرَسَةِ فِي الصَّبَاحِ وَعَادَ إِلَى البَيْتِ مَسَاءً.
كَتَبَ الطَّالِبُ رِسَالَةً طَوِيلَةً إِلَى صَدِيقِهِ فِي القَاهِرَةِ.
يَلْعَبُ الأَطْفَالُ بِالكُرَةِ فِي الحَدِيقَةِ كُلَّ يَوْمٍ.
قَرَأْتُ كِتَابًا جَدِيدًا عَنْ تَارِيخِ المَدِينَةِ القَدِيمَةِ.""".splitlines()
_MARKS: Final = re.compile("[\u064b-\u0652\u0670]")

COSTLY: Final = 1.25
"""Times the pieces a word from which on marks are removed. A model reads a word that its marks
break into letters as one it has hardly seen."""


def measure(tokenizer: Path, languages: Iterable[str]) -> VowelMarks:
    """What is to be done about vowel marks before `tokenizer` sees a text, and why.

    Fully vocalized text is read without marks where they cost many more pieces. The rare marks of
    a newspaper always stay: they are there to tell two words apart.

    Args:
        tokenizer: SentencePiece model of the input.
        languages: BCP-47 codes the model reads; without Arabic there is nothing to measure.
    """
    if _WRITTEN_WITH_MARKS.isdisjoint(languages):
        return VowelMarks()
    processor = require("sentencepiece").SentencePieceProcessor(model_file=str(tokenizer))
    words = sum(len(line.split()) for line in _VOCALIZED)

    def pieces_per_word(lines: Iterable[str]) -> float:
        return round(sum(len(processor.encode(line)) for line in lines) / words, 2)

    kept = pieces_per_word(_VOCALIZED)
    removed = pieces_per_word(_MARKS.sub("", line) for line in _VOCALIZED)
    return VowelMarks(
        policy="remove_when_vocalized" if kept >= COSTLY * removed else "keep",
        pieces_per_word_kept=kept,
        pieces_per_word_removed=removed,
    )
