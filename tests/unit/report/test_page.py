"""The page says everything, runs nothing that a text brings, and can be read."""

from __future__ import annotations

import re
import sys
from importlib import resources
from itertools import product
from typing import TYPE_CHECKING

import pytest

from khulasa_server.bundles import store
from khulasa_server.bundles.errors import ToolMissingError
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.guards.findings import Finding, Kind
from khulasa_server.report import page
from khulasa_server.report.answering import Answered
from khulasa_server.report.directions import direction
from khulasa_server.report.texts import Text
from khulasa_server.text.spans import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.tasks.values import Translation

HOSTILE = "<script>alert(1)</script> & \"quoted\" 'too' </style>\r\n\0"


def test_what_a_text_brings_is_text(make_translation: Callable[..., Translation]) -> None:
    """Markup in a text, an output, a finding, an id, a reference or the title is shown, not run."""
    finding = Finding(Kind.REPETITION, None, Span(0, 8), HOSTILE)
    translation = make_translation(HOSTILE, [(HOSTILE.strip("\r\n\0"), HOSTILE)], finding)
    html = page.render(HOSTILE, [], [Answered(Text(HOSTILE, HOSTILE, HOSTILE), (translation,))])
    assert html.count("<script>") == html.count("</script>") == 1
    assert html.count("</style>") == 1
    assert html.count("&lt;script&gt;") >= 5
    assert "\r" not in html
    assert "\0" not in html


def test_only_its_own_style_and_script_are_allowed() -> None:
    """The policy names the digests of the one style and the one script, and nothing else."""
    html = page.render("none", [], [])
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for kind in ("style", "script"):
        content = re.search(rf"<{kind}>(.*?)</{kind}>", html, re.DOTALL)
        assert content is not None
        assert rules[f"{kind}-src"] == f"'{page.digest(content[1])}'"
    assert not re.search(r"""\s(src|href|style|on\w+)=["'](?!#)""", html)


def test_a_refusal_is_told() -> None:
    """Where a text was refused, its reason and sentence stand in place of an answer."""
    refusal = InvalidRequestError(Reason.LANGUAGE_UNSUPPORTED, "language xx is not served")
    html = page.render("one", [], [Answered(Text("1", "text"), (refusal,))])
    assert "LANGUAGE_UNSUPPORTED" in html
    assert "language xx is not served" in html


def test_demonstration_models_are_called_so() -> None:
    """The page says of an embedded model that it is one for show, and how to build the real one."""
    html = page.render("none", [bundle.manifest for bundle in store.embedded()], [])
    assert html.count("A demonstration model, trained for show: expect it to be wrong.") == 2
    assert "khulasa-server models build opus-mt-ar-en" in html


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the error says what to install."""
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ToolMissingError, match=r"pip install 'khulasa-server\[report\]'"):
        page.require_library()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("BBC: قالت الحكومة", "rtl"),
        ("He said نعم twice", "ltr"),
        ("12 %", "auto"),
        ("", "auto"),
        ("שלום", "rtl"),
    ],
)
def test_direction_goes_by_most_letters(text: str, expected: str) -> None:
    """An Arabic text that begins with a Latin name runs from right to left all the same."""
    assert direction(text) == expected


def luminance(color: str) -> float:
    """Relative luminance, 0 to 1: WCAG 2.2."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_every_color_of_text_has_contrast(scheme: int) -> None:
    """4.5 to 1 and more (WCAG AA) on the paper, and for what is on a wash on that too."""
    style = (resources.files("khulasa_server.report") / "templates" / "style.css").read_text()
    found = re.findall(r"--(\S+): light-dark\((#\w{6}), (#\w{6})\)", style)
    colors = {name: luminance(pair[scheme]) for name, *pair in found}
    pairs = [*product(("ink", "quiet", "faint", "link", "fault", "fact", "note"), ["paper"])]
    pairs += [*product(["ink"], ("fault-wash", "fact-wash", "lit"))]
    pairs += [(tone, f"{tone}-wash") for tone in ("fault", "fact")]
    for text, ground in pairs:
        darker, lighter = sorted((colors[text], colors[ground]))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground)
