"""The commands."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from khulasa_client.cli import texts
from khulasa_client.cli.connecting import FILE, Failure, connected
from khulasa_client.cli.jsonl import Ledger
from khulasa_client.enums import HealthStatus, LongDocumentStrategy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from khulasa_client import Client, Finding, Model
    from khulasa_client.values import BulkItem, BulkSummary, BulkTranslation

SERVICES = (
    "khulasa.v1.TranslationService",
    "khulasa.v1.SummarizationService",
    "khulasa.v1.ModelService",
)
INTERRUPTED = 130

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Everything the answer says, as JSON."
)
stream = click.option("--stream", is_flag=True, help="Print each part as soon as it is there.")
model = click.option("--model", default="", help="Name of the model. Default: by the language.")
strategy = click.option(
    "--strategy",
    type=click.Choice([name.lower() for name in LongDocumentStrategy], case_sensitive=False),
    default=LongDocumentStrategy.LEAD.lower(),
    show_default=True,
    help="What to do with a text longer than the model's window.",
)
source = click.option("--from", "source", default="", help="Language of the text. Default: ar.")
language = click.option("--from", "language", default="", help="Language. Default: by the script.")
translate_to = click.option("--to", default="", help="Language to translate to. Default: en.")
summary_to = click.option("--to", default="", help="Translate the summary to this language too.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="khulasa-client")
def khulasa() -> None:
    """Summarize Arabic text and translate it to English, through a khulasa server."""


@khulasa.command()
@click.argument("file", default="-")
@translate_to
@source
@model
@as_json
@stream
@connected
def translate(client: Client, *, file: str, as_json: bool, stream: bool, **wish: Any) -> None:  # noqa: ANN401 - goes to the client as it is
    """Translate FILE, or stdin."""
    text = texts.read(file)
    if stream:
        _stream(client, text, as_json=as_json, **wish)
        return
    translation = client.translate(text, **wish)
    if as_json:
        texts.write(texts.as_json(translation))
    else:
        _write_text(translation.text)
        _note(translation.findings)


@khulasa.command()
@click.argument("file", default="-")
@summary_to
@language
@strategy
@model
@as_json
@stream
@connected
def summarize(
    client: Client,
    *,
    file: str,
    as_json: bool,
    stream: bool,
    to: str,
    timeout: float | None,
    **wish: Any,  # noqa: ANN401 - goes to the client as it is
) -> None:
    """Summarize FILE, or stdin.

    With --stream the summary is printed before its translation is made.
    """
    at_once = "" if stream else to
    summary = client.summarize(texts.read(file), to=at_once, timeout=timeout, **wish)
    if as_json:
        texts.write(texts.as_json(summary))
    else:
        _write_text(summary.text)
        _note(summary.findings)
    if summary.translation is not None and not as_json:
        texts.write("")
        _write_text(summary.translation.text)
        _note(summary.translation.findings)
    if stream and to:
        if not as_json:
            texts.write("")
        source = summary.language_code
        _stream(client, summary.text, as_json=as_json, to=to, source=source, timeout=timeout)


@khulasa.group()
def bulk() -> None:
    """Translate or summarize many texts.

    SOURCE has an object a line, with an "id" and the text as "content" or "text". TARGET gets the
    results with the same ids, in the order they finish; what fails goes to TARGET.errors.jsonl.
    The same command again goes on where it stopped.
    """


@bulk.command("translate")
@click.argument("in_file", metavar="SOURCE", type=FILE)
@click.argument("out_file", metavar="TARGET", type=FILE)
@translate_to
@source
@model
@connected
def bulk_translate(client: Client, *, in_file: Path, out_file: Path, **wish: Any) -> None:  # noqa: ANN401 - goes to the client as it is
    """Translate every text of SOURCE."""
    _bulk(partial(client.bulk_translate, **wish), in_file, out_file, "translated")


@bulk.command("summarize")
@click.argument("in_file", metavar="SOURCE", type=FILE)
@click.argument("out_file", metavar="TARGET", type=FILE)
@summary_to
@language
@strategy
@model
@connected
def bulk_summarize(client: Client, *, in_file: Path, out_file: Path, **wish: Any) -> None:  # noqa: ANN401 - goes to the client as it is
    """Summarize every text of SOURCE."""
    _bulk(partial(client.bulk_summarize, **wish), in_file, out_file, "summarized")


@khulasa.command()
@as_json
@connected
def models(client: Client, *, as_json: bool, timeout: float | None) -> None:
    """List the models that are served."""
    for model in client.list_models(timeout=timeout):
        texts.write(texts.as_json(model) if as_json else _describe(model))


@khulasa.command()
@as_json
@connected
def health(client: Client, *, as_json: bool, timeout: float | None) -> None:
    """Tell whether the server can answer; exit status 0 if and only if it can."""
    found = {name: client.health(name, timeout=timeout) for name in ("", *SERVICES)}
    if as_json:
        texts.write(texts.dump(found))
    else:
        for name, status in found.items():
            texts.write(f"{status:<15} {name or 'all required services'}")
    if found[""] is not HealthStatus.SERVING:
        sys.exit(1)


def _stream(client: Client, text: str, *, as_json: bool, **wish: Any) -> None:  # noqa: ANN401 - goes to the client as it is
    """Print the segments of a translation as they come."""
    last = "\n"
    with client.stream_translate(text, **wish) as parts:
        for part in parts:
            texts.write(texts.as_json(part) if as_json else part.text, newline=as_json)
            last = part.text or last
        summary = parts.summary
    if as_json:
        texts.write(texts.as_json(summary))
    else:
        texts.write("", newline=not last.endswith("\n"))
        _note(summary.findings)


def _write_text(text: str) -> None:
    texts.write(text, newline=not text.endswith("\n"))


def _note(findings: Iterable[Finding]) -> None:
    """Tell a person what was found; a pipe gets the text alone."""
    if sys.stderr.isatty():
        for finding in findings:
            place = f" at {finding.source.start}" if finding.source else ""
            click.echo(f"note: {finding.kind}{place}: {finding.detail}", err=True)


def _describe(model: Model) -> str:
    """One line on a model."""
    languages = ",".join(model.source_language_codes)
    if model.target_language_codes != model.source_language_codes:
        languages += f"→{','.join(model.target_language_codes)}"
    kind = "demonstration" if model.demonstration else "production"
    fields = (
        model.name,
        model.task,
        languages,
        model.state,
        model.license,
        kind,
        model.state_detail,
    )
    return "\t".join(str(field) for field in fields).rstrip("\t")


def _bulk(
    call: Callable[[Iterable[BulkItem]], Iterator[BulkTranslation] | Iterator[BulkSummary]],
    in_file: Path,
    out_file: Path,
    verb: str,
) -> None:
    """Run a bulk call from file to file."""
    with Ledger(in_file, out_file) as ledger:
        try:
            with _progress(ledger, verb) as bar:
                for result in call(ledger.items()):
                    _record(ledger, result)
                    _advance(bar, ledger)
                ledger.write_unusable()
                _advance(bar, ledger)
        except KeyboardInterrupt:
            click.echo("khulasa: interrupted; the same command goes on from here", err=True)
            sys.exit(INTERRUPTED)
    before = f", {ledger.skipped:,} before" if ledger.skipped else ""
    click.echo(f"{ledger.succeeded:,} {verb}{before}, {ledger.failed:,} failed", err=True)
    if ledger.failed:
        raise Failure(f"{ledger.failed:,} failures are in {ledger.failures_path}")


def _record(ledger: Ledger, result: BulkTranslation | BulkSummary) -> None:
    value = getattr(result, "translation", None) or getattr(result, "summary", None)
    if value is not None:
        ledger.succeed(result.id, value)
    elif result.error is not None:
        ledger.fail(result.id, result.error)
    ledger.write_unusable()


def _progress(ledger: Ledger, verb: str) -> AbstractContextManager[Any]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        return nullcontext()
    return click.progressbar(length=ledger.lines(), label=verb, show_pos=True, file=sys.stderr)


def _advance(bar: Any, ledger: Ledger) -> None:  # noqa: ANN401 - click has no public name for it
    if bar is not None:
        bar.update(ledger.handled - bar.pos)
