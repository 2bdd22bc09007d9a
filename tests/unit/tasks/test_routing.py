"""What admission is told of a request before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.scheduling import Stage
from khulasa_server.tasks.routing import route_summary, route_translation
from khulasa_server.tasks.values import Options

if TYPE_CHECKING:
    from tests.unit.tasks.conftest import Office


def test_a_stage_has_the_callers_options(office: Office) -> None:
    """Beams, the most that may be written, and whether each segment runs alone."""
    options = Options(beam_size=2, max_output_tokens=7, deterministic=True)
    route = route_translation(office.desk.catalog, "ar", "en", options)
    assert route.stage(100, options) == Stage("demo-marian-ar-en", 100, 2, 7, deterministic=True)


def test_a_stage_has_the_models_defaults(office: Office) -> None:
    """Where the caller says nothing."""
    route = route_summary(office.desk.catalog, "ar", Options())
    assert route.stage(100, Options()) == Stage("demo-mt5-ar-summary", 100, 4, 83)
