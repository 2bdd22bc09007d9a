"""mT5's network as CTranslate2 lays it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from khulasa_server.bundles.building import network
from khulasa_server.bundles.building.tools import require

if TYPE_CHECKING:
    from khulasa_server.bundles.building.checkpoint import Checkpoint, Settings
    from khulasa_server.bundles.building.vocabulary import Vocabularies
    from khulasa_server.bundles.building.weights import Weights


def specification(checkpoint: Checkpoint, vocabularies: Vocabularies) -> Any:  # noqa: ANN401 - CTranslate2 has no types
    """The network with its weights, neither validated nor quantized.

    Raises:
        CheckpointError: a tensor is missing or of the wrong shape.
    """
    specs = require("ctranslate2.specs")
    config, weights = checkpoint.config, checkpoint.weights
    kind = str(config.get("feed_forward_proj", "gated-gelu"))
    spec = specs.TransformerSpec.from_config(
        (config["num_layers"], config.get("num_decoder_layers") or config["num_layers"]),
        config["num_heads"],
        pre_norm=True,
        activation=_activation(kind),
        ffn_glu=kind.startswith("gated-"),
        relative_attention_bias=True,
        rms_norm=True,
    )
    for side, stack in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        distance = int(config.get("relative_attention_max_distance", 128))
        _set_stack(stack, weights, side, distance)
    _set_embeddings(spec, checkpoint, vocabularies)
    network.set_vocabularies(spec, vocabularies)
    spec.config.layer_norm_epsilon = float(config.get("layer_norm_epsilon", 1e-6))
    return spec


def _activation(kind: str) -> int:
    # T5 calls it gelu and computes the approximation with tanh.
    return network.activation("gelu_new" if kind == "gated-gelu" else kind.rpartition("-")[2])


def scales_outputs(config: Settings, *, tied: bool) -> bool:
    """Whether the decoder's output is divided by the square root of its depth.

    T5 does so when the output layer is the embedding. transformers before version 5 did it for
    mT5 too and later ones never do; a tied checkpoint was trained with one or the other, and
    its configuration says with which. mT5's published checkpoints are untied: never scaled.
    """
    major = str(config.get("transformers_version", "4")).partition(".")[0]
    return tied and config.get("tie_word_embeddings") is True and major.isdigit() and int(major) < 5  # noqa: PLR2004 - a version


def _set_embeddings(spec: Any, checkpoint: Checkpoint, vocabularies: Vocabularies) -> None:  # noqa: ANN401 - CTranslate2 has no types
    config, weights = checkpoint.config, checkpoint.weights
    shared = weights.first("shared.weight", "encoder.embed_tokens.weight")
    head = network.own_head(weights, shared, tied=config.get("tie_word_embeddings"))
    kept = network.rows(shared, vocabularies.source, name="shared.weight")
    spec.encoder.scale_embeddings = spec.decoder.scale_embeddings = False
    spec.encoder.embeddings[0].weight = spec.decoder.embeddings.weight = kept
    spec.decoder.projection.weight = (
        kept if head is None else network.rows(head, vocabularies.target, name="lm_head.weight")
    )
    if scales_outputs(config, tied=head is None):
        spec.decoder.scale_outputs = np.float32(config["d_model"] ** -0.5)


def _set_stack(stack: Any, weights: Weights, side: str, distance: int) -> None:  # noqa: ANN401 - CTranslate2 has no types
    network.set_norm(stack.layer_norm, weights, f"{side}.final_layer_norm")
    # Only the first layer has a bias of relative positions; the others use the same.
    name = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    bias = weights[name]
    for number, layer in enumerate(stack.layer):
        prefix = f"{side}.block.{number}.layer"
        _set_attention(layer.self_attention, weights, f"{prefix}.0", "SelfAttention")
        layer.self_attention.relative_attention_bias = bias
        layer.self_attention.relative_attention_max_distance = np.int32(distance)
        if hasattr(layer, "attention"):
            _set_attention(layer.attention, weights, f"{prefix}.1", "EncDecAttention")
        last = 2 if hasattr(layer, "attention") else 1
        _set_feed_forward(layer.ffn, weights, f"{prefix}.{last}")


def _set_attention(spec: Any, weights: Weights, prefix: str, name: str) -> None:  # noqa: ANN401 - CTranslate2 has no types
    spec.queries_scale = np.float32(1.0)
    queries, keys, values = (f"{prefix}.{name}.{part}" for part in "qkv")
    fused = [[queries, keys, values]] if name == "SelfAttention" else [[queries], [keys, values]]
    for linear, group in zip(spec.linear, [*fused, [f"{prefix}.{name}.o"]], strict=True):
        network.set_linear(linear, weights, group)
    network.set_norm(spec.layer_norm, weights, f"{prefix}.layer_norm")


def _set_feed_forward(spec: Any, weights: Weights, prefix: str) -> None:  # noqa: ANN401 - CTranslate2 has no types
    inner = f"{prefix}.DenseReluDense"
    gated = hasattr(spec, "linear_0_noact")
    network.set_linear(spec.linear_0, weights, [f"{inner}.wi_0" if gated else f"{inner}.wi"])
    if gated:
        network.set_linear(spec.linear_0_noact, weights, [f"{inner}.wi_1"])
    network.set_linear(spec.linear_1, weights, [f"{inner}.wo"])
    network.set_norm(spec.layer_norm, weights, f"{prefix}.layer_norm")
