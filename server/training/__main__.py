"""`python -m training translator`, `align` and `summarizer`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import torch
import typer

from training import alignments, sources
from training.loop import Plan, Run, Task
from training.sources import DataError
from training.summarizer import Summarizer
from training.translator import Translator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.batches import Row

app = typer.Typer(help="Train the embedded demonstration models.", no_args_is_help=True)

Data = Annotated[Path, typer.Option(help="Directory of training data.")]
Base = Annotated[Path, typer.Option(help="Checkpoint to start from, in Hugging Face layout.")]
Output = Annotated[Path, typer.Option(help="State, log and checkpoint; resumed if it is there.")]
Last = Annotated[int, typer.Option(help="Step to end at, counted with --first.")]
First = Annotated[int, typer.Option(help="Steps behind the checkpoint to start from.")]
Anneal = Annotated[int, typer.Option(help="Steps in which the rate falls to zero at the end.")]
Warmup = Annotated[int, typer.Option(help="Steps up to the peak.")]
Peak = Annotated[float, typer.Option(help="Highest learning rate.")]
Dropout = Annotated[float, typer.Option(help="Share of activations left out.")]
Budget = Annotated[int, typer.Option(help="Pieces of a batch.")]
Threads = Annotated[int, typer.Option(help="Threads of torch.")]
Seed = Annotated[int, typer.Option(help="Of everything random.")]


@contextmanager
def _data_told() -> Iterator[None]:
    """What is wrong with the data is an error of the command line."""
    try:
        yield
    except DataError as error:
        raise typer.BadParameter(str(error)) from error


def _go(task: Task[Row], plan: Plan, first: int) -> None:
    Run(task, plan, first).go()
    typer.echo(f"see {plan.output}", err=True)


@app.command()
def translator(  # noqa: PLR0917 - one parameter a flag
    data: Data,
    base: Base,
    output: Output,
    last: Last,
    first: First = 0,
    anneal: Anneal = 1000,
    warmup: Warmup = 300,
    peak: Peak = 7e-4,
    dropout: Dropout = 0.1,
    budget: Budget = 1800,
    threads: Threads = 1,
    seed: Seed = 0,
    links: Annotated[
        Path | None, typer.Option(help="Links of the data's words, from `align`.")
    ] = None,
    dev: Annotated[
        list[Path] | None, typer.Option(help="Development set, TSV; repeatable.")
    ] = None,
    dev_lines: Annotated[int, typer.Option(help="Lines of each that are translated.")] = 100,
) -> None:
    """Train MarianMT, Arabic to English."""
    torch.set_num_threads(threads)
    plan = Plan(output, warmup, peak, last, anneal, seed)
    with _data_told():
        task = Translator(
            base,
            data,
            dev or [],
            links=links,
            dev_lines=dev_lines,
            dropout=dropout,
            budget=budget,
        )
    _go(task, plan, first)


@app.command()
def align(data: Data, links: Annotated[Path, typer.Argument(help="File to be written.")]) -> None:
    """Find which words of the translator's pairs translate each other, in about two minutes."""
    with _data_told():
        pairs = sources.read_pairs(data)
    alignments.write(links, alignments.align(pairs))


@app.command()
def summarizer(  # noqa: PLR0917 - one parameter a flag
    data: Data,
    base: Base,
    output: Output,
    last: Last,
    first: First = 0,
    anneal: Anneal = 1000,
    warmup: Warmup = 300,
    peak: Peak = 4e-4,
    dropout: Dropout = 0.05,
    budget: Budget = 1500,
    threads: Threads = 1,
    seed: Seed = 0,
    dev_documents: Annotated[int, typer.Option(help="Documents of each length.")] = 40,
) -> None:
    """Train mT5 to write the leading sentence of an Arabic document."""
    torch.set_num_threads(threads)
    plan = Plan(output, warmup, peak, last, anneal, seed, betas=(0.9, 0.99), decay=0.01)
    with _data_told():
        task = Summarizer(base, data, dev_documents=dev_documents, dropout=dropout, budget=budget)
    _go(task, plan, first)


if __name__ == "__main__":
    app()
