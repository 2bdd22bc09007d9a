"""The model as it would be with every piece, for as long as it is compared with the trimmed one."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from khulasa_server.bundles.building.build import OptionsT, Recorder, build
from khulasa_server.bundles.building.staging import scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from khulasa_server.bundles.building.describe import BuildOptions, Origin
    from khulasa_server.bundles.store import Bundle


@contextmanager
def untrimmed(
    origin: Origin, beside: Path, options: BuildOptions, recorder: Recorder[OptionsT]
) -> Iterator[Bundle]:
    """A bundle like another one, nothing left out of its vocabulary; removed afterwards.

    Args:
        origin: the checkpoint of both.
        beside: the trimmed bundle.
        options: it was built with.
        recorder: how golden outputs are made.

    Raises:
        DiskFullError: there is no room for it.
    """
    whole = replace(options, keep=None, full_vocabulary=True)
    with scratch(beside) as directory:
        yield build(origin, directory / "whole", whole, recorder)
