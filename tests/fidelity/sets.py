"""The texts that figures are measured on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

Pair = tuple[str, str]
SAMPLES = Path(__file__).parents[1] / "data"
_WHOLE = os.environ.get("KHULASA_DEV_DATA", "")
_SAMPLED = {
    "pud.ar-en.tsv": SAMPLES / "pud.ar-en.tsv",
    "tatoeba-laser.ar-en.tsv": SAMPLES / "engines" / "tatoeba.ar-en.tsv",
}


def lines(name: str) -> list[str]:
    """Lines of a file of the whole sets, or of the sample of it."""
    sample = _SAMPLED.get(name, SAMPLES / "guards" / name)
    path = Path(_WHOLE) / name if _WHOLE else sample
    return path.read_text("utf-8").splitlines()


def pairs() -> dict[str, list[Pair]]:
    """Name of a set → Arabic sentences and English translations, by people and by models."""
    sets = {
        "FLORES-200 dev, references": _pairs("flores-dev.ar-en.tsv"),
        "PUD, references": _pairs("pud.ar-en.tsv"),
        "Tatoeba, references": _pairs("tatoeba-laser.ar-en.tsv"),
    }
    sources = [source for source, _ in sets["FLORES-200 dev, references"]]
    for name, file in (("opus-mt-ar-en", "opus-mt"), ("Argos", "argos")):
        outputs = lines(f"flores-dev.{file}-output.en")
        sets[name] = list(zip(sources, outputs, strict=True))
    return sets


def records(name: str) -> list[dict[str, Any]]:
    """Objects of a file, one a line."""
    return [json.loads(line) for line in lines(name)]


def looping() -> list[dict[str, Any]]:
    """What the embedded translator wrote, with a person's word on whether it is a loop."""
    path = SAMPLES / "guards" / "loops.jsonl"
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def percent(share: float) -> str:
    """With one decimal."""
    return f"{100 * share:.1f} %"


def _pairs(name: str) -> list[Pair]:
    return [(source, output) for source, output in (line.split("\t")[:2] for line in lines(name))]
