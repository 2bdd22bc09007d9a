"""MarianMT's network as CTranslate2 lays it out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from khulasa_server.bundles.building import network
from khulasa_server.bundles.building.tools import require

if TYPE_CHECKING:
    from khulasa_server.bundles.building.checkpoint import Checkpoint
    from khulasa_server.bundles.building.vocabulary import Vocabularies
    from khulasa_server.bundles.building.weights import Tensor, Weights

BANNED = np.float32(-1e9)
"""Bias of a piece that is never written; what is left shares the probability, as if
`bad_words_ids` were applied and the logits renormalized."""

# PyTorch's default, which MarianMT never changes.
_EPSILON = 1e-5


def positions(count: int, depth: int) -> Tensor:
    """Sinusoidal position encodings, sines in the first half: `[count, depth]`."""
    angles = np.arange(count)[:, None] / 10_000.0 ** (2 * (np.arange(depth) // 2) / depth)
    encodings = np.concatenate([np.sin(angles[:, 0::2]), np.cos(angles[:, 1::2])], axis=1)
    return encodings.astype(np.float32)


def specification(checkpoint: Checkpoint, vocabularies: Vocabularies) -> Any:  # noqa: ANN401 - CTranslate2 has no types
    """The network with its weights, neither validated nor quantized.

    Raises:
        CheckpointError: a tensor is missing or of the wrong shape.
    """
    specs = require("ctranslate2.specs")
    config, weights = checkpoint.config, checkpoint.weights
    spec = specs.TransformerSpec.from_config(
        (config["encoder_layers"], config["decoder_layers"]),
        config["encoder_attention_heads"],
        pre_norm=False,
        activation=network.activation(config["activation_function"]),
    )
    spec.decoder.num_heads = np.int16(config["decoder_attention_heads"])
    for side, stack in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        _set_positions(stack, checkpoint, side)
        for number, layer in enumerate(stack.layer):
            _set_layer(layer, weights, f"model.{side}.layers.{number}")
    _set_embeddings(spec, checkpoint, vocabularies)
    network.set_vocabularies(spec, vocabularies)
    spec.config.layer_norm_epsilon = _EPSILON
    return spec


def _set_positions(stack: Any, checkpoint: Checkpoint, side: str) -> None:  # noqa: ANN401 - CTranslate2 has no types
    config, weights = checkpoint.config, checkpoint.weights
    depth, name = config["d_model"], f"model.{side}.embed_positions.weight"
    stack.scale_embeddings = np.float32(math.sqrt(depth) if config["scale_embedding"] else 1.0)
    stack.position_encodings.encodings = (
        weights[name] if name in weights else positions(config["max_position_embeddings"], depth)
    )


def _set_embeddings(spec: Any, checkpoint: Checkpoint, vocabularies: Vocabularies) -> None:  # noqa: ANN401 - CTranslate2 has no types
    weights, shared = checkpoint.weights, "model.shared.weight"
    source = weights.first(shared, "model.encoder.embed_tokens.weight")
    spec.encoder.embeddings[0].weight = network.rows(source, vocabularies.source, name=shared)
    target = weights.first("model.decoder.embed_tokens.weight", shared)
    spec.decoder.embeddings.weight = network.rows(target, vocabularies.target, name=shared)
    head = network.own_head(weights, target, tied=checkpoint.config.get("tie_word_embeddings"))
    projection = spec.decoder.projection
    projection.weight = (
        spec.decoder.embeddings.weight
        if head is None
        else network.rows(head, vocabularies.target, name="lm_head.weight")
    )
    projection.bias = _bias(weights, vocabularies)


def _bias(weights: Weights, vocabularies: Vocabularies) -> Tensor:
    target, name = vocabularies.target, "final_logits_bias"
    bias = np.zeros(len(target), np.float32)
    if name in weights:
        bias = network.rows(weights[name].reshape(-1), target, name=name).copy()
    # The start row is no piece of text: decoding begins with it and never comes back.
    bias[target.pieces.index(vocabularies.start)] = BANNED
    return bias


def _set_layer(layer: Any, weights: Weights, prefix: str) -> None:  # noqa: ANN401 - CTranslate2 has no types
    _set_attention(layer.self_attention, weights, f"{prefix}.self_attn", fused=True)
    if hasattr(layer, "attention"):
        _set_attention(layer.attention, weights, f"{prefix}.encoder_attn", fused=False)
    network.set_linear(layer.ffn.linear_0, weights, [f"{prefix}.fc1"])
    network.set_linear(layer.ffn.linear_1, weights, [f"{prefix}.fc2"])
    network.set_norm(layer.ffn.layer_norm, weights, f"{prefix}.final_layer_norm")


def _set_attention(spec: Any, weights: Weights, prefix: str, *, fused: bool) -> None:  # noqa: ANN401 - CTranslate2 has no types
    queries, keys, values = (f"{prefix}.{name}_proj" for name in "qkv")
    groups = [[queries, keys, values]] if fused else [[queries], [keys, values]]
    for linear, group in zip(spec.linear, [*groups, [f"{prefix}.out_proj"]], strict=True):
        network.set_linear(linear, weights, group)
    network.set_norm(spec.layer_norm, weights, f"{prefix}_layer_norm")
