"""`khulasa-server models …`: build, look at, verify and evaluate what is served."""

from __future__ import annotations

import json
import sys
from pathlib import Path  # noqa: TC003 - typer reads annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from khulasa_server.bundles import canary, evaluate, store
from khulasa_server.bundles.building import synthesize
from khulasa_server.bundles.building.shapes import SHAPES
from khulasa_server.bundles.errors import EvaluationError
from khulasa_server.cli import building, tables
from khulasa_server.cli import report as report_page
from khulasa_server.cli.faults import FAULTS, fail, open_engine
from khulasa_server.engines.base import GenerationOptions
from khulasa_server.engines.proving import GREEDY

if TYPE_CHECKING:
    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle

app = typer.Typer(help="Build, look at, verify and evaluate models.", no_args_is_help=True)

BundleArgument = Annotated[str, typer.Argument(help="Directory of a bundle, or an embedded name.")]


app.command("build")(building.command)


@app.command("list")
def list_command(
    directories: Annotated[
        list[Path] | None, typer.Argument(help="Bundles, or directories of bundles.")
    ] = None,
) -> None:
    """Show embedded bundles, and those in directories."""
    try:
        found = [*store.embedded(), *map(store.load, _bundle_directories(directories or []))]
    except FAULTS as error:
        fail(error)
    typer.echo(tables.listed(found))


def _bundle_directories(directories: list[Path]) -> list[Path]:
    found = []
    for directory in directories:
        inside = sorted(path.parent for path in directory.glob("*/manifest.json"))
        found += inside or [directory]
    return found


@app.command("inspect")
def inspect_command(
    bundle: BundleArgument,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="The manifest as it is.")] = False,
    memory: Annotated[bool, typer.Option(help="Load it, and tell the memory it takes.")] = False,
) -> None:
    """Show what is known of a bundle."""
    try:
        opened = store.load(store.resolve(bundle))
        resident = tables.resident_bytes(opened) if memory else None
    except FAULTS as error:
        fail(error)
    typer.echo(opened.manifest.to_json() if as_json else tables.inspected(opened, resident))


@app.command("verify")
def verify_command(
    bundles: Annotated[list[str], typer.Argument(help="Directories, or embedded names.")],
    mode: Annotated[str, typer.Option("--canary", help="tolerant or strict.")] = "tolerant",
) -> None:
    """Recompute digests and golden outputs; exit 1 if one is not what it was."""
    if mode not in {"tolerant", "strict"}:
        raise typer.BadParameter("tolerant or strict", param_hint="--canary")
    failed = False
    for name in bundles:
        try:
            report = _verify(store.load(store.resolve(name)), strict=mode == "strict")
        except FAULTS as error:
            typer.echo(f"{name}: refused: {error}", err=True)
            failed = True
            continue
        typer.echo(f"{name}: {tables.verified(report)}")
        failed |= not report.passed
    raise typer.Exit(int(failed))


def _verify(bundle: Bundle, *, strict: bool) -> canary.CanaryReport:
    size = sum(file.size for file in bundle.manifest.files.values())
    with typer.progressbar(length=size, label=bundle.manifest.name, file=sys.stderr) as bar:
        store.verify_files(bundle, bar.update)
    engine = open_engine(bundle.path, bundle.manifest)
    try:
        mode: canary.Mode = "strict" if strict else "tolerant"
        every = len(bundle.manifest.golden)
        return canary.check(engine, bundle.manifest, GREEDY, mode, texts=every)
    finally:
        engine.close()


@app.command("evaluate")
def evaluate_command(
    bundle: BundleArgument,
    data: Annotated[Path, typer.Option(help=".tsv pairs, or .jsonl with text and summary.")],
    report: Annotated[
        Path | None, typer.Option(help="Write each answer here; a second run goes on from it.")
    ] = None,
    beam_size: Annotated[int, typer.Option(help="0: as the bundle says.")] = 0,
    limit: Annotated[int, typer.Option(help="Only so many pairs; 0: all.")] = 0,
    *,
    language: Annotated[
        str, typer.Option(help="Of the references; else Arabic summaries, English translations.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Figures as JSON.")] = False,
) -> None:
    """Score a model on text with references: BLEU and chrF, or ROUGE; and its speed."""
    try:
        opened = store.open_bundle(bundle)
        pairs = evaluate.read_pairs(data)[: limit or None]
        engine = open_engine(opened.path, opened.manifest)
        with typer.progressbar(length=len(pairs), label=data.name, file=sys.stderr) as bar:
            options = _options(opened.manifest, beam_size, language)
            answers = evaluate.evaluate(
                engine,
                opened.manifest,
                pairs,
                options,
                language=language,
                report=report,
                done=bar.update,
            )
        figures = evaluate.figures(opened.manifest, answers, language)
    except FAULTS as error:
        fail(error)
    rows = {figure.name: [figure.value, figure.signature] for figure in figures}
    typer.echo(json.dumps(rows, indent=1) if as_json else tables.figures(figures))


def _options(manifest: Manifest, beam_size: int, language: str) -> GenerationOptions:
    defaults = manifest.generation.model_dump()
    if beam_size:
        defaults["beam_size"] = beam_size
    language = language or evaluate.written_in(manifest)
    if language not in manifest.target_language_codes:
        known = ", ".join(manifest.target_language_codes)
        raise EvaluationError(f"{manifest.name} does not write {language!r}; it writes {known}")
    token = manifest.target_tokens.get(language, "")
    return GenerationOptions(**defaults, target_token=token)


@app.command("synthesize")
def synthesize_command(
    shape: Annotated[str, typer.Argument(help=" or ".join(SHAPES))],
    output: Annotated[Path, typer.Option(help="Directory to make; must not exist.")],
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
) -> None:
    """Write a checkpoint with random weights, to measure speed and memory without the real one."""
    try:
        synthesize.synthesize(shape, output, seed=seed)
    except FAULTS as error:
        fail(error)
    typer.echo(f"{output}: random weights; only figures at a fixed length mean anything")


app.command("report")(report_page.command)
