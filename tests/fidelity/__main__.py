"""Every figure of what answers promise, in one place: `make fidelity`.

Measured on the lines in `tests/data`, or, with KHULASA_DEV_DATA, on the whole sets that those were
taken from; with KHULASA_REAL_TOKENIZER_DIR also with the tokenizer of opus-mt-ar-en. Guards are
tuned on FLORES-200 dev and reported on PUD.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests.fidelity import evidence, guards, languages, tokenizers

RESULTS = Path("build/fidelity/figures.json")


def main() -> None:
    """Print the figures, and write them to `build/fidelity/figures.json`."""
    figures: dict[str, dict[str, object]] = {}
    for room in (guards, evidence, languages, tokenizers):
        for title, table in room.measured():
            print(f"\n{title}")
            for name, row in table.items():
                print(f"  {name:34} {row}")
            figures[title] = dict(table)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(figures, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(f"\nwritten to {RESULTS}")


if __name__ == "__main__":
    main()
