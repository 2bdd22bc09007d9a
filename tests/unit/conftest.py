"""How properties are examined."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes depends on what else the machine does: that proves nothing.
settings.register_profile("khulasa", parent=settings.default, deadline=None)
settings.load_profile("khulasa")
