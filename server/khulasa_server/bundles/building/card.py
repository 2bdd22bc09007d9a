"""The texts in a bundle that people read: its card and the notice of its licence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from khulasa_server.bundles.building.tools import require

if TYPE_CHECKING:
    from pathlib import Path

    from khulasa_server.bundles.manifest import Quantization, Source

CARD = "README.md"
"""Name of a model card's file."""

# What the Hub calls licences, where upper case is not enough to make SPDX of it.
_SPDX = {"apache-2.0": "Apache-2.0", "mit": "MIT", "openrail": "OpenRAIL"}

_TEXTS = {
    "Apache-2.0": "https://www.apache.org/licenses/LICENSE-2.0",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/legalcode",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/legalcode",
    "CC-BY-NC-SA-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/legalcode",
}


def metadata(readme: Path) -> dict[str, Any]:
    """The YAML at the head of a model card; empty where there is none."""
    if not readme.is_file() or not readme.read_text("utf-8").startswith("---"):
        return {}
    found: dict[str, Any] | None = require("huggingface_hub").metadata_load(readme)
    return found or {}


def license_of(card: dict[str, Any]) -> str:
    """SPDX identifier of the licence a card names; empty where it names none."""
    named = str(card.get("license") or "").lower()
    return _SPDX.get(named, named.upper())


def languages_of(card: dict[str, Any]) -> tuple[str, ...]:
    """Languages a card names."""
    named = card.get("language") or ()
    return (named,) if isinstance(named, str) else tuple(str(code) for code in named)


def notice_of(license_id: str) -> str:
    """What a user must know of a licence, in one sentence; empty where there is nothing."""
    if "-NC" in license_id:
        return "Non-commercial use only: serve another model where money is earned."
    if "-SA" in license_id:
        return "Changed weights may be shared under the same licence only."
    return ""


def notice(name: str, source: Source, quantization: Quantization) -> str:
    """Text of NOTICE: where the weights came from, their terms, and what was changed."""
    text = _TEXTS.get(source.license, "see the model card")
    lines = [
        f"{name}: weights derived from {source.repository}, revision {source.revision}.",
        f"Licence: {source.license} ({text}).",
        source.license_notice,
        f"Changes: converted to CTranslate2, {quantization}; vocabulary as manifest.json says.",
    ]
    return "\n".join(line for line in lines if line) + "\n"
