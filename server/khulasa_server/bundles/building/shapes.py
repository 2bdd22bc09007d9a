"""What checkpoints of the two families look like: configurations, and sizes of tensors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from khulasa_server.bundles.building.checkpoint import Settings

Sizes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a checkpoint with random weights looks like.

    Args:
        config: its `config.json`.
        generation_config: its `generation_config.json`.
        source_pieces: size of the SentencePiece model of the input.
        target_pieces: size of that of the output; 0: the same model.
    """

    config: Settings
    generation_config: Settings
    source_pieces: int
    target_pieces: int = 0


def tensors(config: Settings) -> Sizes:
    """Name and size of every tensor that a checkpoint of this configuration holds."""
    return _marian(config) if config["model_type"] == "marian" else _mt5(config)


def _linear(prefix: str, rows: int, columns: int) -> Sizes:
    return {f"{prefix}.weight": (rows, columns), f"{prefix}.bias": (rows,)}


def _norm(prefix: str, depth: int) -> Sizes:
    return {f"{prefix}.weight": (depth,), f"{prefix}.bias": (depth,)}


def _marian(config: Settings) -> Sizes:
    depth, vocabulary = config["d_model"], config["vocab_size"]
    sizes: Sizes = {
        "model.shared.weight": (vocabulary, depth),
        "final_logits_bias": (1, vocabulary),
    }
    for side in ("encoder", "decoder"):
        for number in range(config[f"{side}_layers"]):
            prefix = f"model.{side}.layers.{number}"
            attentions = ["self_attn", *(["encoder_attn"] if side == "decoder" else [])]
            for attention, part in product(attentions, ("q_proj", "k_proj", "v_proj", "out_proj")):
                sizes |= _linear(f"{prefix}.{attention}.{part}", depth, depth)
            for attention in attentions:
                sizes |= _norm(f"{prefix}.{attention}_layer_norm", depth)
            inner = config[f"{side}_ffn_dim"]
            sizes |= _linear(f"{prefix}.fc1", inner, depth) | _linear(f"{prefix}.fc2", depth, inner)
            sizes |= _norm(f"{prefix}.final_layer_norm", depth)
    return sizes


def _mt5(config: Settings) -> Sizes:
    depth, vocabulary = config["d_model"], config["vocab_size"]
    sizes: Sizes = {"shared.weight": (vocabulary, depth)}
    if not config["tie_word_embeddings"]:
        sizes["lm_head.weight"] = (vocabulary, depth)
    for side, layers in (
        ("encoder", config["num_layers"]),
        ("decoder", config["num_decoder_layers"]),
    ):
        attentions = ["SelfAttention", *(["EncDecAttention"] if side == "decoder" else [])]
        for number in range(layers):
            sizes |= _mt5_layer(f"{side}.block.{number}.layer", config, attentions)
        first = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        sizes[first] = (config["relative_attention_num_buckets"], config["num_heads"])
        sizes[f"{side}.final_layer_norm.weight"] = (depth,)
    return sizes


def _mt5_layer(prefix: str, config: Settings, attentions: list[str]) -> Sizes:
    depth, inner = config["d_model"], config["num_heads"] * config["d_kv"]
    sizes: Sizes = {}
    for number, attention in enumerate(attentions):
        place = f"{prefix}.{number}"
        sizes |= {f"{place}.{attention}.{part}.weight": (inner, depth) for part in "qkv"}
        sizes[f"{place}.{attention}.o.weight"] = (depth, inner)
        sizes[f"{place}.layer_norm.weight"] = (depth,)
    last = f"{prefix}.{len(attentions)}"
    for part in ("wi_0", "wi_1"):
        sizes[f"{last}.DenseReluDense.{part}.weight"] = (config["d_ff"], depth)
    sizes[f"{last}.DenseReluDense.wo.weight"] = (depth, config["d_ff"])
    sizes[f"{last}.layer_norm.weight"] = (depth,)
    return sizes


def _marian_config(depth: int, layers: int, heads: int, inner: int, vocabulary: int) -> Settings:
    sides = {
        f"{side}_{key}": value
        for side in ("encoder", "decoder")
        for key, value in (("layers", layers), ("attention_heads", heads), ("ffn_dim", inner))
    }
    return {
        "model_type": "marian",
        "architectures": ["MarianMTModel"],
        "d_model": depth,
        **sides,
        "activation_function": "swish",
        "max_position_embeddings": 512,
        "scale_embedding": True,
        "static_position_embeddings": True,
        "normalize_before": False,
        "is_encoder_decoder": True,
        "share_encoder_decoder_embeddings": True,
        "tie_word_embeddings": True,
        "vocab_size": vocabulary,
        "decoder_vocab_size": vocabulary,
        "pad_token_id": vocabulary - 1,
        "decoder_start_token_id": vocabulary - 1,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "forced_eos_token_id": 0,
    }


def marian_shape(
    *, depth: int, layers: int, heads: int, inner: int, pieces_a_side: int, vocabulary: int
) -> Shape:
    """A MarianMT checkpoint whose two sides have SentencePiece models of the same size."""
    return Shape(
        config=_marian_config(depth, layers, heads, inner, vocabulary),
        generation_config={
            "num_beams": 4,
            "max_length": 512,
            "bad_words_ids": [[vocabulary - 1]],
            "forced_eos_token_id": 0,
            "renormalize_logits": True,
            "pad_token_id": vocabulary - 1,
            "decoder_start_token_id": vocabulary - 1,
            "eos_token_id": 0,
        },
        source_pieces=pieces_a_side,
        target_pieces=pieces_a_side,
    )


def mt5_shape(
    *, depth: int, head: int, layers: int, heads: int, inner: int, pieces_known: int, rows: int
) -> Shape:
    """An mT5 checkpoint with an output layer of its own."""
    return Shape(
        config={
            "model_type": "mt5",
            "architectures": ["MT5ForConditionalGeneration"],
            "d_model": depth,
            "d_kv": head,
            "d_ff": inner,
            "num_layers": layers,
            "num_decoder_layers": layers,
            "num_heads": heads,
            "feed_forward_proj": "gated-gelu",
            "is_gated_act": True,
            "dense_act_fn": "gelu_new",
            "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128,
            "layer_norm_epsilon": 1e-6,
            "is_encoder_decoder": True,
            "tie_word_embeddings": False,
            "vocab_size": rows,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
        },
        generation_config={
            "num_beams": 4,
            "max_length": 84,
            "length_penalty": 0.6,
            "no_repeat_ngram_size": 2,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
        },
        source_pieces=pieces_known,
    )


SHAPES = {
    "opus-mt-ar-en": marian_shape(
        depth=512, layers=6, heads=8, inner=2048, pieces_a_side=32_000, vocabulary=62_834
    ),
    "xlsum": mt5_shape(
        depth=768,
        head=64,
        layers=12,
        heads=12,
        inner=2048,
        pieces_known=250_100,
        rows=250_112,
    ),
}
"""Short name → shape of the published checkpoint."""
