"""`khulasa-server models report`: a page on which a person sees what models made of texts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from khulasa_server.bundles import store
from khulasa_server.bundles.errors import BundleError
from khulasa_server.bundles.manifest import Task  # noqa: TC001 - typer reads annotations at run time
from khulasa_server.cli.faults import FAULTS, fail
from khulasa_server.observability import logs
from khulasa_server.report import answering, page, texts
from khulasa_server.report.answering import Wishes
from khulasa_server.report.errors import ReportError
from khulasa_server.tasks.values import Strategy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.bundles.store import Bundle
    from khulasa_server.report.answering import Answered
    from khulasa_server.report.texts import Text


def command(  # noqa: PLR0917 - one parameter a flag
    files: Annotated[
        list[Path],
        typer.Argument(help=".tsv: a text a line; .jsonl: `text`, maybe `id`; others: one text."),
    ],
    output: Annotated[Path, typer.Option(help="The page to write.")],
    model: Annotated[
        list[str] | None,
        typer.Option(help="Bundle directory or embedded name; again for more; else all embedded."),
    ] = None,
    task: Annotated[
        list[Task] | None, typer.Option(help="Again for both; else what the models do.")
    ] = None,
    source: Annotated[
        str, typer.Option("--from", help="Language of the texts, if not Arabic.")
    ] = "",
    target: Annotated[
        str, typer.Option("--to", help="Language to translate to; with it, summaries too.")
    ] = "",
    strategy: Annotated[
        Strategy, typer.Option(help="For texts longer than a summarizer's window.")
    ] = Strategy.LEAD,
    limit: Annotated[int, typer.Option(min=0, help="Only so many texts; 0: all.")] = 0,
) -> None:
    """Write a page with texts, their summaries and translations, and what was found in them."""
    logs.configure("error", own_errors=(BundleError,))
    try:
        page.require_library()
        asked = texts.read(files, limit)
        bundles = _bundles(model or [])
        tasks = tuple(task or sorted({bundle.manifest.task for bundle in bundles}))
        answered = _answered(bundles, asked, Wishes(tasks, source, target, strategy))
        title = ", ".join(file.name for file in files)
        manifests = [bundle.manifest for bundle in bundles]
        output.write_text(page.render(title, manifests, answered), "utf-8", newline="")
    except (*FAULTS, ReportError) as error:
        fail(error)
    typer.echo(f"{output}: {len(answered)} texts")


def _bundles(names: Sequence[str]) -> list[Bundle]:
    if not names:
        return store.embedded()
    return [store.load(store.resolve(name)) for name in names]


def _answered(bundles: Sequence[Bundle], asked: Sequence[Text], wishes: Wishes) -> list[Answered]:
    with typer.progressbar(length=len(asked), label="texts", file=sys.stderr) as bar:
        return asyncio.run(answering.answer(bundles, asked, wishes, bar.update))
