"""What was left in the source's language, or in letters that the target language lacks."""

from __future__ import annotations

import regex

from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.guards.thresholds import THRESHOLDS
from khulasa_server.guards.words import forms_of
from khulasa_server.text.scripts import has_letters_of
from khulasa_server.text.spans import Span

# Latin names and abbreviations stand in texts of any language.
_WORD = regex.compile(r"[\p{L}--\p{Latin}--\p{Common}][\p{L}\p{M}--\p{Latin}]*", regex.VERSION1)
_GLUE = regex.compile(r"[\s\p{Cf}،؛,.'’\-]*")
_LATIN = regex.compile(r"\p{Latin}+")


def find_copied(
    source: str, output: str, source_language: str, target_language: str
) -> list[Finding]:
    """Text of `output` that is still in the source's language or in a wrong script.

    One finding UNTRANSLATED where most of the output is copied, else one WRONG_SCRIPT for each
    run of words in letters that the target language is not written in. Languages are BCP-47.
    """
    runs = _foreign_runs(output, target_language)
    left = sum(len(run) for run in runs if has_letters_of(run.of(output), source_language))
    if not runs and _share_script(source, source_language, target_language):
        copied = _share_of_phrases(source, output)
    else:
        copied = left / max(sum(map(str.isalpha, output)), 1)
    if copied >= THRESHOLDS.copied and _is_from(source, output):
        detail = f"{min(copied, 1):.0%} of the output is as in the source"
        return [Finding(Kind.UNTRANSLATED, Span(0, len(source)), Span(0, len(output)), detail)]
    return [
        Finding(Kind.WRONG_SCRIPT, _place_in(source, run.of(output)), run, excerpt(run.of(output)))
        for run in runs
        if has_letters_of(run.of(output), source_language) or run.of(output) not in source
    ]


def find_foreign_letters(source: str, output: str, language: str) -> list[Finding]:
    """Whether a summary in `language` is written in another script than its article.

    Words that the article has are taken over as they are. Single Latin words that it lacks are
    names, see `find_unsupported_names`; here they count when they are most of the summary.
    """
    findings = [
        Finding(Kind.WRONG_SCRIPT, None, run, excerpt(run.of(output)))
        for run in _foreign_runs(output, language)
        if run.of(output) not in source
    ]
    if is_latin(language):
        return findings
    known = set(_LATIN.findall(source))
    latin = sum(len(word) for word in _LATIN.findall(output) if word not in known)
    share = latin / max(sum(map(str.isalpha, output)), 1)
    if share < THRESHOLDS.foreign_summary:
        return findings
    detail = f"{share:.0%} of the letters are Latin"
    return [Finding(Kind.WRONG_SCRIPT, None, Span(0, len(output)), detail), *findings]


def is_latin(language: str) -> bool:
    """Whether a BCP-47 `language` is written in Latin letters, also if it is not known."""
    return has_letters_of("a", language)


def _foreign_runs(text: str, language: str) -> list[Span]:
    """Words in a row in letters that `language` is not written in."""
    if text.isascii():
        return []
    runs: list[Span] = []
    for match in _WORD.finditer(text):
        if has_letters_of(match.group(), language):
            continue
        start, end = match.span()
        if runs and _GLUE.fullmatch(text, runs[-1].end, start):
            start = runs.pop().start
        runs.append(Span(start, end))
    return runs


def _share_script(source: str, source_language: str, target_language: str) -> bool:
    """Whether the source language's letters, of which `source` holds some, are the target's too."""
    letters = (letter for letter in source if has_letters_of(letter, source_language))
    first = next(letters, "")
    return bool(first) and has_letters_of(first, target_language)


def _place_in(text: str, part: str) -> Span | None:
    start = text.find(part)
    return Span(start, start + len(part)) if start >= 0 else None


def _is_from(source: str, output: str) -> bool:
    """Whether most words of `output` are words of `source`."""
    known = set(forms_of(source))
    forms = forms_of(output)
    return sum(form in known for form in forms) >= THRESHOLDS.copied * len(forms)


def _share_of_phrases(source: str, output: str) -> float:
    """Share of the words of `output` that stand in a phrase copied from `source`."""
    size = THRESHOLDS.copied_words
    known = set(_phrases(forms_of(source), size))
    forms = forms_of(output)
    copied = {
        place + offset
        for place, phrase in enumerate(_phrases(forms, size))
        if phrase in known
        for offset in range(size)
    }
    return len(copied) / len(forms) if forms else 0.0


def _phrases(forms: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(forms[i : i + size]) for i in range(len(forms) - size + 1)]
