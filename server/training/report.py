"""`python -m training.report REPORT`: what `models evaluate --report` wrote, looked at further."""

from __future__ import annotations

import json
from pathlib import Path  # noqa: TC003 - typer reads annotations when it runs
from typing import TYPE_CHECKING, Annotated

import typer

from khulasa_server.guards.repetition import find_repetition
from training.checks import invented

if TYPE_CHECKING:
    from collections.abc import Sequence


def read(path: Path) -> list[tuple[str, str]]:
    """Sources and outputs of a report; its first line says which bundle wrote them."""
    lines = path.read_text("utf-8").splitlines()[1:]
    return [(answer["source"], answer["output"]) for answer in map(json.loads, lines)]


def describe(pairs: Sequence[tuple[str, str]]) -> str:
    """Shares of outputs with a loop, as the service's guards see it, and of grounded ones.

    An output is grounded if every word of it stands in its source: of summaries only.
    """
    loops = sum(bool(find_repetition(source, output)) for source, output in pairs)
    grounded = sum(not invented(source, output) for source, output in pairs)
    return "\n".join(
        f"{name:28}{count:6} of {len(pairs)}{100 * count / len(pairs):8.1f} %"
        for name, count in (("loops", loops), ("every word in its source", grounded))
    )


def main(report: Annotated[Path, typer.Argument(help="JSON lines of models evaluate.")]) -> None:
    """Print how many outputs hold a loop, and how many hold only words of their source."""
    typer.echo(describe(read(report)))


if __name__ == "__main__":
    typer.run(main)
