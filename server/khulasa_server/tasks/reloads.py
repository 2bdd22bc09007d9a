"""Looks for bundles that were replaced on disk, on request and every so often."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from khulasa_server.bundles import store
from khulasa_server.bundles.errors import BundleError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from khulasa_server.bundles.store import Bundle, Identity
    from khulasa_server.tasks.catalog import Catalog, Model
    from khulasa_server.tasks.replacing import Replacing

LOOK_SECONDS: Final = 1.0
"""How often directories are looked at: a few calls of stat for each."""


class Reloads:
    """Has models replaced whose bundle is another one than they were loaded from.

    Without being asked it acts on renames alone (of the directory, of a symlink to it, of its
    manifest), which cannot be half done. Asked, it reads every manifest.

    Args:
        catalog: the models.
        replacing: replaces one.
        bundles: what each model is loaded from; whatever is there later instead is another one.
    """

    def __init__(self, catalog: Catalog, replacing: Replacing, bundles: Iterable[Bundle]) -> None:
        self._catalog = catalog
        self._replacing = replacing
        self._directories: dict[str, Path] = {}
        self._asked = asyncio.Event()
        self._seen: dict[str, Identity] = {}
        for bundle in bundles:
            self._directories[bundle.manifest.name] = bundle.path
            self._recognize(bundle)

    def _recognize(self, bundle: Bundle) -> None:
        """Take note which directory it is, unless another one was put there since it was read."""
        identity = store.identity(bundle.path)
        with suppress(BundleError):
            now = store.load(store.pinned(bundle.path))
            if identity is not None and now.manifest.digest == bundle.manifest.digest:
                self._seen[bundle.manifest.name] = identity

    def ask(self) -> None:
        """Look at every bundle soon; asking again before that changes nothing."""
        self._asked.set()

    async def run(self) -> None:
        """Replace what has to be, one after the other, until `Replacing.stop`."""
        while not self._replacing.over:
            asked = self._asked.is_set()
            self._asked.clear()
            await self._look_at_all(asked=asked)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._asked.wait()

    async def _look_at_all(self, *, asked: bool) -> None:
        for name, directory in self._directories.items():
            if self._replacing.over:
                return
            model = self._catalog.models[name]
            try:
                bundle = await asyncio.to_thread(self._look_at, model, directory, asked=asked)
            except BundleError as error:
                self._replacing.refuse(name, error)
                continue
            if bundle is not None:
                await self._replacing.replace(name, bundle)

    def _look_at(self, model: Model, directory: Path, *, asked: bool) -> Bundle | None:
        """The bundle that is to replace a model; reads files.

        Raises:
            BundleError: there is another bundle, or somebody asked, and it cannot be read.
        """
        identity = store.identity(directory)
        if not asked and identity in (None, self._seen.get(model.name)):
            return None
        if identity is not None:
            self._seen[model.name] = identity
        bundle = store.load(store.pinned(directory))
        # A model that could not be loaded is tried again: its files may have been mended.
        retried = asked and model.engine is None
        is_new = bundle.manifest.digest != model.manifest.digest
        return bundle if is_new or retried else None
