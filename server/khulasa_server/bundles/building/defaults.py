"""Limits and generation options of a model, from what its authors wrote down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from khulasa_server.bundles.manifest import Architecture, Generation, Limits

if TYPE_CHECKING:
    from khulasa_server.bundles.building.checkpoint import Checkpoint

SENTENCE_TOKENS = 128
"""Soft limit of translation models: they were trained on sentences."""

_SUMMARY_WINDOW = 512
# A tokenizer without a limit says so with a number like 10^30.
_NO_LIMIT = 1_000_000

_FALLBACK: dict[Architecture, dict[str, Any]] = {
    Architecture.MARIAN: {"num_beams": 4, "max_length": 512},
    # The card of mT5_multilingual_XLSum.
    Architecture.MT5: {
        "num_beams": 4,
        "max_length": 84,
        "length_penalty": 0.6,
        "no_repeat_ngram_size": 2,
    },
}


def generation(checkpoint: Checkpoint) -> Generation:
    """Default options: the generation config's, else the model config's, else the family's."""

    def setting(name: str, otherwise: float) -> Any:  # noqa: ANN401 - JSON
        for place in (checkpoint.generation_config, checkpoint.config):
            if place.get(name) is not None:
                return place[name]
        return _FALLBACK[checkpoint.architecture].get(name, otherwise)

    # `max_length` counts the start token, which nobody reads.
    longest = int(setting("max_new_tokens", 0)) or int(setting("max_length", 0)) - 1
    return Generation(
        beam_size=int(setting("num_beams", 1)),
        max_output_tokens=min(longest, limits(checkpoint).max_output_tokens),
        length_penalty=float(setting("length_penalty", 1.0)),
        no_repeat_ngram_size=int(setting("no_repeat_ngram_size", 0)),
        repetition_penalty=float(setting("repetition_penalty", 1.0)),
    )


def limits(checkpoint: Checkpoint) -> Limits:
    """Sizes: of Marian by its positions, of mT5 by the window its tokenizer was saved with."""
    window = int(checkpoint.tokenizer_config.get("model_max_length", _NO_LIMIT))
    if checkpoint.architecture is Architecture.MARIAN:
        hard = int(checkpoint.config["max_position_embeddings"])
        soft = min(SENTENCE_TOKENS, window, hard)
        # The start token takes a position of the output.
        return Limits(max_input_tokens=hard, segment_tokens=soft, max_output_tokens=hard - 1)
    hard = window if window < _NO_LIMIT else _SUMMARY_WINDOW
    return Limits(max_input_tokens=hard, segment_tokens=hard, max_output_tokens=hard)
