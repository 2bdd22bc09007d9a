"""False alarms on good translations, and corruptions found."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from tests.fidelity.sets import looping, pairs, percent
from tests.unit.guards import test_figures as seeded

from khulasa_server.guards.judge import needs_retry
from khulasa_server.guards.numbers import find_numbers
from khulasa_server.guards.repetition import find_repetition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fidelity.sets import Pair

CORRUPTIONS = (
    seeded.thrice,
    seeded.first_half,
    seeded.closed_half,
    seeded.pasted,
    seeded.with_sentinel,
    seeded.with_arabic,
)
WRONG_NUMBERS = (seeded.digit_changed, seeded.number_dropped)


def measured() -> Iterator[tuple[str, dict[str, str]]]:
    """Degeneration, numbers, loops."""
    sets = pairs()
    yield (
        "Outputs decoded again, as they are and with one corruption",
        {f"{name} ({len(items)})": _degeneration(items) for name, items in sets.items()},
    )
    yield (
        "Pairs with digits told of a number, as they are and with one wrong",
        {name: _numbers(items) for name, items in sets.items() if "Tatoeba" not in name},
    )
    found: dict[bool, list[bool]] = {True: [], False: []}
    for each in looping():
        found[each["loop"]].append(bool(find_repetition(each["source"], each["output"])))
    yield (
        "Outputs of the embedded translator told to loop",
        {
            "with a loop": f"{sum(found[True])} of {len(found[True])}",
            "without one": f"{sum(found[False])} of {len(found[False])}",
        },
    )


def _degeneration(items: list[Pair]) -> str:
    good = sum(needs_retry(seeded.judged(*pair)) for pair in items) / len(items)
    parts = [f"as it is {percent(good)}"]
    for corrupt in CORRUPTIONS:
        rng = random.Random(7)  # noqa: S311 - repeatable corruptions
        found = [needs_retry(seeded.judged(s, corrupt(s, o, rng))) for s, o in items]
        parts.append(f"{corrupt.__name__} {percent(sum(found) / len(found))}")
    return ", ".join(parts)


def _numbers(items: list[Pair]) -> str:
    numbered = [pair for pair in items if re.search(r"\d", "".join(pair))]
    told = sum(bool(find_numbers(*pair, "ar", "en")) for pair in numbered)
    parts = [f"({len(numbered)}) as it is {percent(told / len(numbered))}"]
    written = [pair for pair in items if re.search(r"\d", pair[1])]
    for corrupt in WRONG_NUMBERS:
        rng = random.Random(11)  # noqa: S311 - repeatable corruptions
        found = [
            len(find_numbers(s, corrupt(o, rng), "ar", "en")) > len(find_numbers(s, o, "ar", "en"))
            for s, o in written
        ]
        parts.append(f"{corrupt.__name__} {percent(sum(found) / len(found))}")
    return ", ".join(parts)
