"""`khulasa-server models …`: build, look at, verify and evaluate what is served."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from khulasa_server.bundles import canary, evaluate, store
from khulasa_server.bundles.building import hub, staging, synthesize
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.bundles.building.shapes import SHAPES
from khulasa_server.bundles.building.trimming import MOST_PIECES, Keep
from khulasa_server.bundles.errors import BuildError, BundleError, EvaluationError
from khulasa_server.bundles.manifest import Manifest, Quantization
from khulasa_server.cli import tables
from khulasa_server.engines.base import EngineError, GenerationOptions
from khulasa_server.engines.loading import load
from khulasa_server.engines.proving import GREEDY
from khulasa_server.engines.threads import usable_cores

if TYPE_CHECKING:
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Engine

app = typer.Typer(help="Build, look at, verify and evaluate models.", no_args_is_help=True)

_FAULTS = (BundleError, BuildError, EvaluationError, EngineError, OSError)

BundleArgument = Annotated[str, typer.Argument(help="Directory of a bundle, or an embedded name.")]


def _fail(error: BaseException) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(1) from error


def _say(step: str) -> None:
    typer.echo(f"{step} …", err=True)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _open_engine(directory: Path, manifest: Manifest) -> Engine:
    return load("ctranslate2", directory, manifest, workers=1, threads=usable_cores())


@app.command("build")
def build_command(  # noqa: PLR0917 - one parameter a flag
    source: Annotated[
        str,
        typer.Argument(help="Short name (opus-mt-ar-en, xlsum), Hub id, or local checkpoint."),
    ],
    output: Annotated[Path, typer.Option(help="Directory to make; must not exist.")],
    quantization: Annotated[
        Quantization, typer.Option(help="Arithmetic of the weights.")
    ] = Quantization.INT8,
    revision: Annotated[str, typer.Option(help="Branch, tag or commit on the Hub.")] = "",
    keep_languages: Annotated[
        str, typer.Option(help="mT5: keep pieces in the scripts of these languages, e.g. ar,en.")
    ] = "",
    keep_corpus: Annotated[
        Path | None, typer.Option(help="mT5: keep the pieces that this text uses.")
    ] = None,
    max_pieces: Annotated[
        int, typer.Option(help="mT5: keep at most so many pieces, if any are left out.")
    ] = MOST_PIECES,
    full_vocabulary: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option(help="Marian: let both sides keep each other's pieces.")
    ] = False,
    name: Annotated[str, typer.Option(help="Of the bundle; else as in the repository.")] = "",
    license: Annotated[str, typer.Option(help="SPDX identifier; else as in the card.")] = "",  # noqa: A002 - its flag
    license_notice: Annotated[str, typer.Option(help="What a user must know of it.")] = "",
    languages: Annotated[str, typer.Option(help="Of the input; else as in the card.")] = "",
    target_languages: Annotated[str, typer.Option(help="Of the output.")] = "",
    model_card: Annotated[
        Path | None, typer.Option(help="Use this card in place of the checkpoint's README.md.")
    ] = None,
    demonstration: Annotated[  # noqa: FBT002 - a flag
        bool, typer.Option(help="Mark the model as one for show.")
    ] = False,
    production_build: Annotated[
        str, typer.Option(help="Command that builds the real model; for demonstrations.")
    ] = "",
) -> None:
    """Download if needed, trim, convert, record golden outputs, write a bundle."""
    keep = None
    if keep_languages or keep_corpus:
        keep = Keep(_list(keep_languages), keep_corpus, max_pieces)
    options = BuildOptions(
        name=name,
        quantization=quantization,
        license=license,
        license_notice=license_notice,
        languages=_list(languages),
        target_languages=_list(target_languages),
        full_vocabulary=full_vocabulary,
        keep=keep,
        demonstration=demonstration,
        production_build=production_build,
        model_card=model_card,
    )
    try:
        staging.refuse_existing(output)
        bundle = build(
            _origin(source, revision), output, options, Recorder(_open_engine, GREEDY), _say
        )
    except _FAULTS as error:
        _fail(error)
    typer.echo(tables.built(bundle))


def _origin(source: str, revision: str) -> Origin:
    if hub.looks_like_hub_id(source):
        return hub.fetch(source, revision, say=_say)
    return Origin(Path(source))


@app.command("list")
def list_command(
    directories: Annotated[
        list[Path] | None, typer.Argument(help="Bundles, or directories of bundles.")
    ] = None,
) -> None:
    """Show embedded bundles, and those in directories."""
    try:
        found = [*store.embedded(), *map(store.load, _bundle_directories(directories or []))]
    except _FAULTS as error:
        _fail(error)
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
    except _FAULTS as error:
        _fail(error)
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
        except _FAULTS as error:
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
    engine = _open_engine(bundle.path, bundle.manifest)
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
    as_json: Annotated[bool, typer.Option("--json", help="Figures as JSON.")] = False,
) -> None:
    """Score a model on text with references: BLEU and chrF, or ROUGE; and its speed."""
    try:
        opened = store.open_bundle(bundle)
        pairs = evaluate.read_pairs(data)[: limit or None]
        engine = _open_engine(opened.path, opened.manifest)
        with typer.progressbar(length=len(pairs), label=data.name, file=sys.stderr) as bar:
            options = _options(opened.manifest, beam_size)
            answers = evaluate.evaluate(
                engine, opened.manifest, pairs, options, report=report, done=bar.update
            )
        figures = evaluate.figures(opened.manifest, answers)
    except _FAULTS as error:
        _fail(error)
    rows = {figure.name: [figure.value, figure.signature] for figure in figures}
    typer.echo(json.dumps(rows, indent=1) if as_json else tables.figures(figures))


def _options(manifest: Manifest, beam_size: int) -> GenerationOptions:
    defaults = manifest.generation.model_dump()
    if beam_size:
        defaults["beam_size"] = beam_size
    token = next(iter(manifest.target_tokens.values()), "")
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
    except _FAULTS as error:
        _fail(error)
    typer.echo(f"{output}: random weights; only figures at a fixed length mean anything")
