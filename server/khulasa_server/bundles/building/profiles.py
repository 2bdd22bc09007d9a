"""Checkpoints that have a short name, and what is known of them besides their files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Profile:
    """A published checkpoint.

    Args:
        repository: its Hub id.
        license: SPDX identifier.
        languages: BCP-47 codes, where its files do not tell them.
    """

    repository: str
    license: str
    languages: tuple[str, ...] = ()


# fmt: off
_XLSUM = (
    "am", "ar", "az", "bn", "cy", "en", "es", "fa", "fr", "gd", "gu", "ha", "hi", "id", "ig", "ja",
    "ko", "ky", "mr", "my", "ne", "om", "pa", "pcm", "ps", "pt", "rn", "ru", "si", "so", "sr", "sw",
    "ta", "te", "th", "ti", "tr", "uk", "ur", "uz", "vi", "yo", "zh-Hans", "zh-Hant",
)
# fmt: on

PROFILES = {
    "opus-mt-ar-en": Profile("Helsinki-NLP/opus-mt-ar-en", "Apache-2.0"),
    "xlsum": Profile(
        "csebuetnlp/mT5_multilingual_XLSum",
        "CC-BY-NC-SA-4.0",
        languages=_XLSUM,
    ),
}
"""Short name → checkpoint. XL-Sum's Serbian is in both scripts."""


def profile_of(repository: str) -> Profile | None:
    """What is known of a Hub id or a short name."""
    if repository in PROFILES:
        return PROFILES[repository]
    return next((known for known in PROFILES.values() if known.repository == repository), None)
