"""A model chosen for one request."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from khulasa_server.bundles.manifest import Task
from khulasa_server.engines.base import GenerationOptions
from khulasa_server.errors import InvalidRequestError, Reason
from khulasa_server.scheduling.types import Stage
from khulasa_server.tasks.catalog import SUMMARY_FIELDS, TRANSLATION_FIELDS, match
from khulasa_server.tasks.values import ModelRef
from khulasa_server.text.normalization import Marks, Policy, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.engines.base import Engine, Tokens
    from khulasa_server.tasks.catalog import Catalog, Fields, Model
    from khulasa_server.tasks.values import Options

JOINER_LANGUAGES = frozenset({"fa", "ur", "ckb", "ku", "ps", "sd", "ug"})
"""Languages in Arabic script that spell with zero-width joiners and non-joiners."""


@dataclass(frozen=True, slots=True)
class Route:
    """A ready model and what one request does with it."""

    model: Model
    engine: Engine
    source: str
    """Language it reads, as the model names it."""
    target: str
    """Language it writes; for a summarizer the same."""
    generation: GenerationOptions

    @property
    def manifest(self) -> Manifest:
        """What the model's bundle says."""
        return self.model.manifest

    @property
    def ref(self) -> ModelRef:
        """What answers say of it."""
        return ModelRef(self.model.name, self.manifest.digest)

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """What the model reads of each text: normalized, in pieces, end of sequence appended."""
        policy = _policy(self.manifest.vowel_marks.policy, self.source)
        return self.engine.tokenize([normalize(text, policy).text for text in texts])

    def count(self, text: str) -> int:
        """How many tokens the model reads a text as, end of sequence included."""
        return len(self.tokenize([text])[0])

    def stage(self, code_points: int, options: Options) -> Stage:
        """Work of reading so many code points, for admission."""
        return Stage(
            self.model.lane,
            code_points,
            self.generation.beam_size,
            self.generation.max_output_tokens,
            options.deterministic,
        )


@lru_cache(maxsize=256)
def _policy(marks: str, language: str) -> Policy:
    return Policy(Marks(marks), keep_joiners=language in JOINER_LANGUAGES)


def route_translation(
    catalog: Catalog,
    source: str,
    target: str,
    options: Options,
    fields: Fields = TRANSLATION_FIELDS,
) -> Route:
    """The translator for a pair of languages; errors point at `fields`.

    Raises:
        NotFoundError, InvalidRequestError: none, or several, would do; an option is out of range.
        UnavailableError: it is not ready.
    """
    model = catalog.resolve(
        Task.TRANSLATE, fields, name=options.model, source=source, target=target
    )
    manifest = model.manifest
    served = match(target, manifest.target_language_codes) or target
    generation = _generation(manifest, options, manifest.target_tokens.get(served, ""))
    reads = match(source, manifest.source_language_codes) or source
    return Route(model, model.ready_engine(), reads, served, generation)


def route_summary(catalog: Catalog, language: str, options: Options) -> Route:
    """The summarizer for a language; raises as `route_translation` does."""
    model = catalog.resolve(Task.SUMMARIZE, SUMMARY_FIELDS, name=options.model, source=language)
    reads = match(language, model.manifest.source_language_codes) or language
    generation = _generation(model.manifest, options, "")
    return Route(model, model.ready_engine(), reads, reads, generation)


def _generation(manifest: Manifest, options: Options, target_token: str) -> GenerationOptions:
    """The model's defaults with the caller's wishes on top."""
    defaults, most = manifest.generation, manifest.limits.max_output_tokens
    wanted = options.max_output_tokens
    if wanted is not None and wanted > most:
        raise InvalidRequestError(
            Reason.OPTION_INVALID,
            f"options.max_output_tokens is {wanted}; {manifest.name} writes at most {most}",
            field="options.max_output_tokens",
            metadata={"limit": str(most), "actual": str(wanted)},
        )
    return GenerationOptions(
        beam_size=options.beam_size or defaults.beam_size,
        max_output_tokens=wanted or defaults.max_output_tokens,
        length_penalty=defaults.length_penalty,
        no_repeat_ngram_size=defaults.no_repeat_ngram_size,
        repetition_penalty=defaults.repetition_penalty,
        target_token=target_token,
    )
