"""The same weights give the same bundle, in whatever file they come."""

from __future__ import annotations

import shutil
from statistics import fmean
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch

from khulasa_server.bundles.errors import CheckpointError
from khulasa_server.bundles.manifest import Quantization

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.bundles.store import Bundle

MODEL = "model/model.bin"


def without_weights(directory: Path, copy: Path) -> Path:
    """Everything of a checkpoint but its tensors."""
    shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*.safetensors"))
    return copy


def test_bin_weights_give_the_same_model(
    variant: Any,  # noqa: ANN401 - a fixture's value
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
) -> None:
    """A `.bin` checkpoint and a safetensors one of the same tensors build the same model file."""
    copy = without_weights(variant.directory, tmp_path / "checkpoint")
    tensors = safetensors.torch.load_file(variant.directory / "model.safetensors")
    torch.save(tensors, copy / "pytorch_model.bin")
    bundle = make_bundle(copy, tmp_path / "bundle", full_vocabulary=True)
    assert bundle.manifest.files[MODEL] == variant.bundle.manifest.files[MODEL]


def test_bin_weights_of_the_old_layout_give_the_same_model(
    tmp_path: Path, open_variant: Callable[[str], Any], make_bundle: Callable[..., Bundle]
) -> None:
    """Files from before PyTorch 1.6, which are no archives, are read too."""
    variant = open_variant("marian")
    copy = without_weights(variant.directory, tmp_path / "checkpoint")
    tensors = safetensors.torch.load_file(variant.directory / "model.safetensors")
    torch.save(tensors, copy / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    bundle = make_bundle(copy, tmp_path / "bundle", full_vocabulary=True)
    assert bundle.manifest.files[MODEL] == variant.bundle.manifest.files[MODEL]


def test_what_transformers_saves_gives_the_same_model(
    variant: Any,  # noqa: ANN401 - a fixture's value
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
) -> None:
    """`save_pretrained` names and drops tensors in its own way; the model is the same."""
    copy = without_weights(variant.directory, tmp_path / "checkpoint")
    variant.reference.model.save_pretrained(copy)
    bundle = make_bundle(copy, tmp_path / "bundle", full_vocabulary=True)
    assert bundle.manifest.files[MODEL] == variant.bundle.manifest.files[MODEL]


def test_a_damaged_bin_file_is_named(
    tmp_path: Path, open_variant: Callable[[str], Any], make_bundle: Callable[..., Bundle]
) -> None:
    """Half a `.bin` file is refused by its name, and nothing is left behind."""
    variant = open_variant("marian")
    copy = without_weights(variant.directory, tmp_path / "checkpoint")
    torch.save({"a": torch.zeros(1000)}, copy / "pytorch_model.bin")
    whole = (copy / "pytorch_model.bin").read_bytes()
    (copy / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match=r"pytorch_model\.bin is damaged"):
        make_bundle(copy, tmp_path / "bundle")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint"]


def test_bfloat16_weights_are_read(
    tmp_path: Path, open_variant: Callable[[str], Any], make_bundle: Callable[..., Bundle]
) -> None:
    """Weights published in bfloat16, which numpy does not know, build like rounded ones."""
    variant = open_variant("mt5-untied")
    tensors = safetensors.torch.load_file(variant.directory / "model.safetensors")
    rounded = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    digests = []
    for kind, dtype in (("half", torch.bfloat16), ("float", torch.float32)):
        copy = without_weights(variant.directory, tmp_path / kind)
        stored = {name: tensor.to(dtype) for name, tensor in rounded.items()}
        safetensors.torch.save_file(stored, copy / "model.safetensors")
        digests.append(make_bundle(copy, tmp_path / f"{kind}-bundle").manifest.files[MODEL])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("quantization", [Quantization.BFLOAT16, Quantization.INT8])
def test_other_quantizations_stay_close(
    quantization: Quantization,
    variant: Any,  # noqa: ANN401 - a fixture's value
    tmp_path: Path,
    build_and_open: Callable[..., Any],
) -> None:
    """Rounded weights move golden scores by less than half a nat a token; wrong ones by ten."""
    engine = build_and_open(
        variant.directory, tmp_path / "bundle", quantization=quantization, full_vocabulary=True
    )
    golden = variant.bundle.manifest.golden
    sources = [one.input_tokens for one in golden]
    rows = engine.score(sources, [one.output_tokens for one in golden])
    shifts = [abs(fmean(row) - one.score) for row, one in zip(rows, golden, strict=True)]
    assert fmean(shifts) < 0.5
