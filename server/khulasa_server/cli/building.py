"""`khulasa-server models build`: what the flags mean, and what is told in the end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from khulasa_server.bundles.building import hub, staging
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.comparison import untrimmed
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.bundles.building.trimming import MOST_PIECES, Keep
from khulasa_server.bundles.errors import DiskFullError
from khulasa_server.bundles.manifest import Quantization
from khulasa_server.cli import tables
from khulasa_server.cli.faults import FAULTS, fail, open_engine, say
from khulasa_server.engines.proving import GREEDY

if TYPE_CHECKING:
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.cli.tables import Weight
    from khulasa_server.engines.base import GenerationOptions

Source = Annotated[
    str, typer.Argument(help="Short name (opus-mt-ar-en, xlsum), Hub id, or local checkpoint.")
]
Output = Annotated[Path, typer.Option(help="Directory to make; must not exist.")]
Arithmetic = Annotated[Quantization, typer.Option(help="Arithmetic of the weights.")]
Revision = Annotated[str, typer.Option(help="Branch, tag or commit on the Hub.")]
KeepLanguages = Annotated[
    str, typer.Option(help="mT5: keep pieces in the scripts of these languages, e.g. ar,en.")
]
KeepCorpus = Annotated[Path | None, typer.Option(help="mT5: keep the pieces that this text uses.")]
MaxPieces = Annotated[
    int, typer.Option(help="mT5: keep at most so many pieces, if any are left out.")
]
FullVocabulary = Annotated[
    bool, typer.Option(help="Marian: let both sides keep each other's pieces.")
]
Name = Annotated[str, typer.Option(help="Of the bundle; else as in the repository.")]
License = Annotated[str, typer.Option(help="SPDX identifier; else as in the card.")]
LicenseNotice = Annotated[str, typer.Option(help="What a user must know of it.")]
Languages = Annotated[str, typer.Option(help="Of the input; else as in the card.")]
TargetLanguages = Annotated[str, typer.Option(help="Of the output.")]
ModelCard = Annotated[
    Path | None, typer.Option(help="Use this card in place of the checkpoint's README.md.")
]
Demonstration = Annotated[bool, typer.Option(help="Mark the model as one for show.")]
ProductionBuild = Annotated[
    str, typer.Option(help="Command that builds the real model; for demonstrations.")
]
Compare = Annotated[
    bool,
    typer.Option(
        help="Where pieces are left out: build the whole model too, for as long as it takes to "
        "tell its size and memory."
    ),
]


def command(  # noqa: PLR0917 - one parameter a flag
    source: Source,
    output: Output,
    quantization: Arithmetic = Quantization.INT8,
    revision: Revision = "",
    keep_languages: KeepLanguages = "",
    keep_corpus: KeepCorpus = None,
    max_pieces: MaxPieces = MOST_PIECES,
    full_vocabulary: FullVocabulary = False,  # noqa: FBT002 - a flag
    name: Name = "",
    license: License = "",  # noqa: A002 - its flag
    license_notice: LicenseNotice = "",
    languages: Languages = "",
    target_languages: TargetLanguages = "",
    model_card: ModelCard = None,
    demonstration: Demonstration = False,  # noqa: FBT002 - a flag
    production_build: ProductionBuild = "",
    compare: Compare = True,  # noqa: FBT002 - a flag
) -> None:
    """Download if needed, trim, convert, record golden outputs, write a bundle."""
    options = BuildOptions(
        name=name,
        quantization=quantization,
        license=license,
        license_notice=license_notice,
        languages=_list(languages),
        target_languages=_list(target_languages),
        full_vocabulary=full_vocabulary,
        keep=_keep(keep_languages, keep_corpus, max_pieces),
        demonstration=demonstration,
        production_build=production_build,
        model_card=model_card,
    )
    try:
        staging.refuse_existing(output)
        origin = _origin(source, revision)
        bundle = build(origin, output, options, _recorder(), say)
        before = _before(origin, bundle, options) if compare and bundle.manifest.trimming else None
        typer.echo(tables.built(bundle, before))
    except FAULTS as error:
        fail(error)


def _recorder() -> Recorder[GenerationOptions]:
    return Recorder(open_engine, GREEDY)


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _keep(languages: str, corpus: Path | None, most: int) -> Keep | None:
    return Keep(_list(languages), corpus, most) if languages or corpus else None


def _origin(source: str, revision: str) -> Origin:
    if hub.looks_like_hub_id(source):
        return hub.fetch(source, revision, say=say)
    return Origin(Path(source))


def _before(origin: Origin, bundle: Bundle, options: BuildOptions) -> Weight | None:
    """What the model would weigh with every piece; None: there is no room to find out."""
    say("building it with every piece, to compare")
    try:
        with untrimmed(origin, bundle.path, options, _recorder()) as whole:
            return tables.weigh(whole)
    except DiskFullError as error:
        typer.echo(f"not compared: {error}", err=True)
        return None
