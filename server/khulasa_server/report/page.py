"""The page: one file that needs nothing else and allows itself nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

from khulasa_server import __version__
from khulasa_server.bundles.building.tools import require
from khulasa_server.errors import ServiceError
from khulasa_server.report import summaries, translations
from khulasa_server.report.directions import direction
from khulasa_server.tasks.values import Summary, Translation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.report.answering import Answered
    from khulasa_server.report.notes import Note
    from khulasa_server.report.summaries import SummaryView
    from khulasa_server.report.texts import Text
    from khulasa_server.report.translations import TranslationView

_PICTURE_OF_NUL = "\N{SYMBOL FOR NULL}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A text with what the page shows of its answers; an error where one was refused."""

    text: Text
    summaries: tuple[SummaryView, ...]
    translations: tuple[TranslationView, ...]
    errors: tuple[ServiceError, ...]

    @property
    def notes(self) -> Iterator[Note]:
        """Every finding in any of them."""
        for summary in self.summaries:
            yield from summary.notes
            if summary.translation is not None:
                yield from summary.translation.notes
        for translation in self.translations:
            yield from translation.notes


def entry(answered: Answered) -> Entry:
    """What the page shows of a text."""
    content, answers = answered.text.content, answered.answers
    return Entry(
        answered.text,
        tuple(summaries.view(content, each) for each in answers if isinstance(each, Summary)),
        tuple(
            translations.view(content, each) for each in answers if isinstance(each, Translation)
        ),
        tuple(each for each in answers if isinstance(each, ServiceError)),
    )


def render(title: str, manifests: Sequence[Manifest], answered: Iterable[Answered]) -> str:
    """The page as HTML, for a file in UTF-8.

    Args:
        title: names what is reported on.
        manifests: of the models that answered.
        answered: every text.

    Raises:
        ToolMissingError: the template library is not installed.
    """
    entries = [entry(each) for each in answered]
    style, script = _template("style.css"), _template("behaviour.js")
    kinds = Counter(note.kind for each in entries for note in each.notes)
    page: str = (
        _environment()
        .get_template("page.html")
        .render(
            title=title,
            version=__version__,
            manifests=manifests,
            entries=entries,
            kinds=sorted(kinds.items(), key=lambda item: (-item[1], item[0])),
            weak_support=summaries.WEAK_SUPPORT,
            style=style,
            style_digest=digest(style),
            script=script,
            script_digest=digest(script),
        )
    )
    return page


def require_library() -> None:
    """Notice before any work that the page could not be written.

    Raises:
        ToolMissingError: the template library is not installed.
    """
    require("jinja2", extra="report")


def _environment() -> Any:  # noqa: ANN401 - of a library that need not be there
    jinja2 = require("jinja2", extra="report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"whole": _whole, "direction": direction}
    return environment


def _template(name: str) -> str:
    return (resources.files(__package__) / "templates" / name).read_text("utf-8")


def digest(content: str) -> str:
    """As a content security policy names an inline style or script that it allows."""
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _whole(text: str) -> Any:  # noqa: ANN401 - of a library that need not be there
    """A text of which HTML's parser keeps every character.

    It turns carriage returns into line feeds unless they are written as references, and has no
    way to write NUL, for which its picture stands.
    """
    markupsafe = require("markupsafe", extra="report")
    escaped = markupsafe.escape(text.replace("\0", _PICTURE_OF_NUL))
    return escaped.replace("\r", markupsafe.Markup("&#13;"))
