"""What every engine refuses, or answers by itself, before a model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from khulasa_server.engines.base import END, EngineInputError, Finish, Generation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.bundles.manifest import Limits, Manifest
    from khulasa_server.engines.base import GenerationOptions, Tokens

_NOTHING = Generation(text="", tokens=(), score=0.0, finish=Finish.END)


def refuse_unencodable(texts: Sequence[str]) -> None:
    """Refuse texts that no UTF-8 can carry.

    Raises:
        EngineInputError: one holds a lone surrogate.
    """
    for index, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise EngineInputError(
                f"a lone surrogate at code point {error.start} is no text", index=index
            ) from error


def model_rows(
    batch: Sequence[Tokens], options: GenerationOptions, manifest: Manifest
) -> list[list[str]]:
    """What the model reads for a batch: the target token, if any, before each input.

    Raises:
        EngineInputError: an input or the asked-for output exceeds the model's limits, or the
            target token is not one of the model's.
    """
    limits, token = manifest.limits, options.target_token
    if token and token not in manifest.target_tokens.values():
        raise EngineInputError(f"{token!r} selects none of the model's target languages")
    if options.max_output_tokens > limits.max_output_tokens:
        raise EngineInputError(
            f"{options.max_output_tokens} output tokens asked for; "
            f"the model writes at most {limits.max_output_tokens}"
        )
    prefix = [token] if token else []
    rows = [[*prefix, *tokens] for tokens in batch]
    _refuse_long(rows, limits.max_input_tokens, "input")
    return rows


def generate_nonempty(
    batch: Sequence[Tokens],
    rows: Sequence[list[str]],
    run: Callable[[list[list[str]]], list[Generation]],
) -> list[Generation]:
    """Run what there is to run: the output of an empty text is empty, and no model is asked.

    Args:
        batch: inputs.
        rows: what the model reads for each.
        run: gives the output of each row.
    """
    asked = [index for index, tokens in enumerate(batch) if tokens != (END,)]
    outputs = [_NOTHING] * len(batch)
    if asked:
        written = run([rows[index] for index in asked])
        for index, output in zip(asked, written, strict=True):
            outputs[index] = output
    return outputs


def scored_rows(
    batch: Sequence[Tokens], targets: Sequence[Tokens], limits: Limits
) -> tuple[list[list[str]], list[list[str]]]:
    """Inputs and targets to score, as lists.

    Raises:
        EngineInputError: one is longer than the model's positions.
        ValueError: there are not as many targets as inputs.
    """
    if len(batch) != len(targets):
        raise ValueError(f"{len(batch)} inputs, but {len(targets)} targets")
    rows, wanted = [list(tokens) for tokens in batch], [list(tokens) for tokens in targets]
    _refuse_long(rows, limits.max_input_tokens, "input")
    _refuse_long(wanted, limits.max_output_tokens, "target")
    return rows, wanted


def _refuse_long(rows: Sequence[Sequence[str]], limit: int, what: str) -> None:
    for index, row in enumerate(rows):
        if len(row) > limit:
            raise EngineInputError(
                f"{what} of {len(row)} tokens; the model takes at most {limit}", index=index
            )
