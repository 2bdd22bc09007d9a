"""What a model reads: the text without what only confuses its tokenizer.

Meant for one segment, after splitting: line breaks become spaces.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Final

import regex

from khulasa_server.text.offsets import Edit, Rewriting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from khulasa_server.text.spans import Span


class Marks(StrEnum):
    """What is done about Arabic vowel marks (harakat, shadda, Quranic signs).

    Hamza and madda above or below a letter are spelling, not marks, and always stay.
    """

    KEEP = "keep"
    REMOVE = "remove"
    REMOVE_WHEN_VOCALIZED = "remove_when_vocalized"
    """Kept where they are as rare as in newspapers, removed from fully vocalized text."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a model wants beyond what every model wants.

    Args:
        marks: what is done about vowel marks.
        keep_joiners: keep zero-width joiners and non-joiners beside Arabic letters: for
            languages that spell with them, such as Persian, Urdu and Kurdish. Elsewhere, as in
            emoji and Indic scripts, they always stay.
    """

    marks: Marks = Marks.KEEP
    keep_joiners: bool = False


DEFAULT: Final = Policy()


@dataclass(frozen=True, slots=True)
class Normalized:
    """A normalized text that knows where it came from.

    Args:
        rewriting: the alignment with the original text, run by run.
    """

    rewriting: Rewriting

    @property
    def text(self) -> str:
        """What the model reads."""
        return self.rewriting.text

    def to_source(self, span: Span) -> Span:
        """The part of the original text that `span` of the normalized text came from."""
        return self.rewriting.to_source(span)


def normalize(text: str, policy: Policy = DEFAULT) -> Normalized:
    """`text` as a model should read it; idempotent, and a well-written text stays as it is.

    - Bidirectional, zero-width and control characters are removed, lone surrogates replaced.
    - Arabic presentation forms become the letters they show.
    - Tatweel that lengthens a word is removed; one that ends it (`هـ`, `لـ"إيلاف"`) stays.
    - Digits and number marks of both Arabic systems become ASCII: a model copies those.
    - Marks on a letter get their canonical order, and whitespace becomes single spaces.
    - More than three of the same sign in a row become three.
    - What spells a control piece of a tokenizer (`</s>`, `>>eng<<`) is broken by a space.
    """
    # The order of the steps matters: each sees what the ones before it left side by side.
    rewriting = Rewriting.of(text)
    odd = _ODD.search(text) is not None
    if odd:
        rewriting = _applied(rewriting, _CLEANING_STEPS)
    rewriting = _without_marks(rewriting, policy.marks)
    if odd and not policy.keep_joiners:
        rewriting = _JOINER_STEP.on(rewriting)
    if odd:
        rewriting = _applied(rewriting, _FOLDING_STEPS)
    return Normalized(_applied(_ordered(rewriting), _LAST_STEPS))


@dataclass(frozen=True, slots=True)
class _Step:
    pattern: regex.Pattern[str]
    replace: Callable[[str], str]

    def on(self, rewriting: Rewriting) -> Rewriting:
        found = self.pattern.finditer(rewriting.text)
        return rewriting.apply([Edit(*match.span(), self.replace(match[0])) for match in found])


def _applied(rewriting: Rewriting, steps: Iterable[_Step]) -> Rewriting:
    for step in steps:
        rewriting = step.on(rewriting)
    return rewriting


def _removed(_: str) -> str:
    return ""


@cache
def _letters_of_form(form: str) -> str:
    """What a presentation form shows, without the tatweel or space some bring as a carrier."""
    return unicodedata.normalize("NFKC", form).lstrip(" ").replace("ـ", "")


_CONTROLS: Final = (
    r"\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufeff\ufff9-\ufffb"
)
_FORMS: Final = r"\ufb50-\ufd3d\ufd50-\ufdfd\ufe70-\ufefc"
_MARKS: Final = (
    r"\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8"
    r"\u06ea-\u06ed"
)
_JOINERS: Final = r"[\u200c\u200d]"
# A letter that joins; tatweel belongs to no script.
_JOINING: Final = r"[[\p{Arabic}--\p{M}]ـ]"
# `▁` is how tokenizers write a space; the separators of old are none for `\s`.
_SPACES: Final = r"[\s\x1c-\x1f▁]"
_SIGNS: Final = r"[\p{P}=~^|+]"
_ASCII: Final = {
    **{ord(digit): str(value) for value, digit in enumerate("٠١٢٣٤٥٦٧٨٩")},
    **{ord(digit): str(value) for value, digit in enumerate("۰۱۲۳۴۵۶۷۸۹")},
    ord("٪"): "%",
    ord("٫"): ".",
    ord("٬"): ",",
}

# The first look: where none of these is, the removals have nothing to do.
_ODD = regex.compile(rf"[{_CONTROLS}{_FORMS}\ud800-\udfff\u200c\u200d٠-٩۰-۹٪ـ]")

_CONTROL_STEP = _Step(regex.compile(rf"[{_CONTROLS}]+"), _removed)
_SURROGATE_STEP = _Step(regex.compile(r"[\ud800-\udfff]"), lambda _: "\ufffd")
_FORM_STEP = _Step(regex.compile(rf"[{_FORMS}]"), _letters_of_form)
_CLEANING_STEPS: Final = (_CONTROL_STEP, _SURROGATE_STEP, _FORM_STEP)
_JOINER_STEP = _Step(
    regex.compile(
        rf"(?V1)(?<={_JOINING}\p{{M}}*){_JOINERS}++|(?<!{_JOINERS}){_JOINERS}++(?={_JOINING})"
    ),
    _removed,
)
_FOLDING_STEPS: Final = (
    _Step(regex.compile(r"(?<=[\p{L}\p{M}])(?<!ـ)ـ+(?=[\p{L}\p{M}])|ـ{2,}"), _removed),
    _Step(regex.compile(r"[٠-٩۰-۹٪]+|(?<=\d)[٫٬](?=\d)"), lambda number: number.translate(_ASCII)),
)
_LAST_STEPS: Final = (
    _Step(regex.compile(rf" {_SPACES}++|(?! ){_SPACES}++"), lambda _: " "),
    _Step(regex.compile(rf"({_SIGNS})(?: ?\1){{3,}}+"), lambda signs: signs[0] * 3),
    _Step(
        regex.compile(r"<(?:/?s|pad|unk|mask|extra_id_\d+|0x[0-9A-Fa-f]{2})>|>>[\w-]+<<"),
        lambda piece: f"{piece[0]} {piece[1:]}",
    ),
)

_VOCALIZED: Final = 1 / 3
"""Vowel marks a letter: fully vocalized text has about 0.9, newspapers 0.01."""
_MARK_STEP = _Step(regex.compile(rf"[{_MARKS}]+"), _removed)
_LETTER = regex.compile(r"\p{Lo}")

_MOST_MARKS: Final = 30
"""Marks on one letter that are put in order: Unicode's own limit for streams. Ordering is
quadratic, and a letter with thousands of marks is an attack."""
_CLUSTER = regex.compile(rf"\P{{M}}\p{{M}}{{1,{_MOST_MARKS}}}+(?!\p{{M}})")


def _without_marks(rewriting: Rewriting, policy: Marks) -> Rewriting:
    if policy is Marks.KEEP:
        return rewriting
    marks = sum(map(len, _MARK_STEP.pattern.findall(rewriting.text)))
    if not marks:
        return rewriting
    letters = len(_LETTER.findall(rewriting.text))
    if policy is Marks.REMOVE or marks > letters * _VOCALIZED:
        return _MARK_STEP.on(rewriting)
    return rewriting


def _ordered(rewriting: Rewriting) -> Rewriting:
    """Each letter with its marks in normalization form C."""
    if unicodedata.is_normalized("NFC", rewriting.text):
        return rewriting
    edits = []
    for match in _CLUSTER.finditer(rewriting.text):
        ordered = unicodedata.normalize("NFC", match[0])
        if ordered != match[0]:
            edits.append(Edit(*match.span(), ordered))
    return rewriting.apply(edits)
