"""What the two families of networks have in common, as CTranslate2 lays them out.

The converter that comes with CTranslate2 reads models through transformers, which since its
version 5 says `tie_word_embeddings = True` of every mT5 model, and drops Marian's start row.
Here everything is read from the tensors, which cannot be wrong about themselves.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from khulasa_server.bundles.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.bundles.building.vocabulary import Vocabularies, Vocabulary
    from khulasa_server.bundles.building.weights import Tensor, Weights

# CTranslate2's numbers of activation functions.
_ACTIVATIONS = {"relu": 0, "gelu_new": 1, "gelu_pytorch_tanh": 1, "swish": 2, "silu": 2, "gelu": 3}


def activation(name: str) -> int:
    """CTranslate2's number of an activation function.

    Raises:
        CheckpointError: it is none that CTranslate2 computes.
    """
    if name not in _ACTIVATIONS:
        raise CheckpointError(f"activation {name!r} is none of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def set_linear(spec: Any, weights: Weights, prefixes: Sequence[str]) -> None:  # noqa: ANN401 - CTranslate2 has no types
    """Fill a linear layer with one, or with several stacked on each other."""
    spec.weight = np.concatenate([weights[f"{prefix}.weight"] for prefix in prefixes])
    if f"{prefixes[0]}.bias" in weights:
        spec.bias = np.concatenate([weights[f"{prefix}.bias"] for prefix in prefixes])


def set_norm(spec: Any, weights: Weights, prefix: str) -> None:  # noqa: ANN401 - CTranslate2 has no types
    """Fill a layer normalization; one without `beta` is a root mean square one."""
    spec.gamma = weights[f"{prefix}.weight"]
    if hasattr(spec, "beta"):
        spec.beta = weights[f"{prefix}.bias"]


def own_head(weights: Weights, embedding: Tensor, *, tied: object) -> Tensor | None:
    """The output layer's matrix, where it is another one than the decoder's embedding.

    Args:
        weights: of the checkpoint.
        embedding: the decoder's, all rows.
        tied: what the configuration says; believed only where it must be.

    Raises:
        CheckpointError: the configuration says that there is one, and there is none.
    """
    if "lm_head.weight" in weights:
        head = weights["lm_head.weight"]
        return None if np.array_equal(head, embedding) else head
    if tied is False:
        raise CheckpointError("tensor lm_head.weight is missing, and config.json says it is untied")
    return None


def rows(matrix: Tensor, vocabulary: Vocabulary, *, name: str) -> Tensor:
    """The rows of a matrix that a vocabulary keeps; the matrix itself if it keeps all.

    Raises:
        CheckpointError: the matrix has fewer rows than the vocabulary names.
    """
    if len(matrix) <= int(vocabulary.rows[-1]):
        raise CheckpointError(
            f"{name} has {len(matrix)} rows; the vocabulary needs {vocabulary.rows[-1] + 1}"
        )
    return matrix if len(vocabulary) == len(matrix) else matrix[vocabulary.rows]


def set_vocabularies(spec: Any, vocabularies: Vocabularies) -> None:  # noqa: ANN401 - CTranslate2 has no types
    """Tell the model its pieces, and which of them are special."""
    spec.register_source_vocabulary(list(vocabularies.source.pieces))
    spec.register_target_vocabulary(list(vocabularies.target.pieces))
    spec.config.bos_token = vocabularies.start
    spec.config.decoder_start_token = vocabularies.start
    spec.config.eos_token = vocabularies.end
    spec.config.unk_token = vocabularies.unknown


def parameters(spec: Any) -> int:  # noqa: ANN401 - CTranslate2 has no types
    """Numbers in the weights of an optimized model: no scales, positions or biases of pieces."""
    left_out = ("_scale", "position_encodings/encodings", "projection/bias")
    return sum(
        math.prod(value.shape)
        for name, value in spec.variables().items()
        if not isinstance(value, str) and not value.is_scalar() and not name.endswith(left_out)
    )


# Names under which the embedding is stored again, and buffers that are no parameters.
_COPIES = re.compile(r"(?:.*\.)?(?:encoder|decoder)\.embed_tokens\.weight")
_BUFFERS = re.compile(r".*\.embed_positions\.weight|final_logits_bias")


def parameters_before(weights: Weights) -> int:
    """Numbers in a checkpoint's weights, each shared matrix counted once."""
    shared = next(
        (weights[name] for name in ("shared.weight", "model.shared.weight") if name in weights),
        None,
    )
    total = 0
    for name in weights:
        copied = shared is not None and (
            _COPIES.fullmatch(name)
            or (name == "lm_head.weight" and np.array_equal(weights[name], shared))
        )
        if not copied and not _BUFFERS.fullmatch(name):
            total += math.prod(weights.size(name))
    return total
