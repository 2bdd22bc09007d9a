"""Names of languages."""

from __future__ import annotations

import re

from icu4py.locale import Locale

_PARTS = re.compile("[-_]")


def canonical(code: str) -> str:
    """BCP-47 form of a language code: `fra` and `fra_Latn` become `fr` and `fr-Latn`."""
    language, *rest = _PARTS.split(code.strip())
    return "-".join([Locale(language).language or language.lower(), *rest])
