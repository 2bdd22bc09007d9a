"""From a checkpoint on disk to a bundle, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from khulasa_server.bundles import canary, store
from khulasa_server.bundles.building import mt5
from khulasa_server.bundles.building.staging import staged
from khulasa_server.bundles.building.tools import require
from khulasa_server.bundles.building.trimming import Keep
from khulasa_server.bundles.errors import (
    BuildError,
    CheckpointError,
    DiskFullError,
    OutputExistsError,
    ToolMissingError,
)
from khulasa_server.bundles.manifest import MODEL_DIRECTORY, Architecture, Quantization, Task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.bundles.store import Bundle

Edit = Any
FAMILIES = ("marian", "mt5")


def test_a_marian_bundle_describes_itself(built: dict[str, Bundle]) -> None:
    """Task, languages, limits, defaults and licence are those of the checkpoint's files."""
    manifest = built["marian"].manifest
    assert manifest.name == "marian"
    assert manifest.task is Task.TRANSLATE
    assert manifest.architecture is Architecture.MARIAN
    assert manifest.source_language_codes == ("ar",)
    assert manifest.target_language_codes == ("en",)
    assert manifest.limits.model_dump() == {
        "max_input_tokens": 512,
        "segment_tokens": 128,
        "max_output_tokens": 511,
    }
    assert manifest.generation.beam_size == 4
    assert manifest.generation.max_output_tokens == 511
    assert manifest.source.license == "CC0-1.0"
    assert manifest.source.revision.startswith("sha256:")
    assert manifest.tokenizer.preprocessing == "none"
    assert {"ctranslate2", "sentencepiece", "python"} <= set(manifest.tools)


def test_an_mt5_bundle_describes_itself(built: dict[str, Bundle]) -> None:
    """The window is the tokenizer's; the start token does not count as output."""
    manifest = built["mt5"].manifest
    assert manifest.task is Task.SUMMARIZE
    assert manifest.limits.max_input_tokens == 512
    assert manifest.generation.max_output_tokens == 83
    assert manifest.generation.length_penalty == 0.6
    assert manifest.generation.no_repeat_ngram_size == 2
    assert manifest.tokenizer.preprocessing == "collapse_whitespace"
    assert manifest.trimming is None


def test_building_twice_gives_the_same_digest(
    checkpoints: dict[str, Path],
    built: dict[str, Bundle],
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
) -> None:
    """Nothing but the checkpoint and the tools decides what a bundle is."""
    again = make_bundle(checkpoints["mt5"], tmp_path / "again")
    assert again.manifest == built["mt5"].manifest


def test_a_bundle_opens_where_it_was_built(
    checkpoints: dict[str, Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """Every file is listed with its digest, and nothing else lies beside the bundle."""
    bundle = make_bundle(checkpoints["marian"], tmp_path / "deep" / "down")
    store.verify_files(bundle)
    files = {p.relative_to(bundle.path).as_posix() for p in bundle.path.rglob("*") if p.is_file()}
    assert files == {*bundle.manifest.files, "manifest.json"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["down"]


def test_other_quantizations_need_more_room(
    checkpoints: dict[str, Path],
    built: dict[str, Bundle],
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
) -> None:
    """float32 weights are written as such: here nearly three times the size of int8."""
    whole = make_bundle(
        checkpoints["mt5"], tmp_path / "whole", quantization=Quantization.FLOAT32
    ).manifest
    small = built["mt5"].manifest
    assert whole.files["model/model.bin"].size > 2.5 * small.files["model/model.bin"].size
    assert whole.parameters == small.parameters


def test_given_terms_win(
    checkpoints: dict[str, Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """What the caller says of name, licence and purpose is what the manifest says."""
    card = tmp_path / "card.md"
    card.write_text("# Mine\n", "utf-8")
    bundle = make_bundle(
        checkpoints["marian"],
        tmp_path / "bundle",
        name="mine",
        license="CC-BY-NC-SA-4.0",
        demonstration=True,
        production_build="make it",
        model_card=card,
    )
    manifest = bundle.manifest
    assert (manifest.name, manifest.demonstration) == ("mine", True)
    assert manifest.source.license_notice.startswith("Non-commercial")
    assert (bundle.path / "README.md").read_text("utf-8") == "# Mine\n"
    assert "CC-BY-NC-SA-4.0" in (bundle.path / "NOTICE").read_text("utf-8")


def test_several_targets_are_named(
    checkpoint: Callable[[str], Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """A model with `>>xxx<<` tokens carries them under BCP-47 codes, and golden inputs use one."""
    directory = checkpoint("marian")
    table = json.loads((directory / "vocab.json").read_bytes())
    victims = dict(zip(list(table)[-3:-1], (">>fra<<", ">>eng<<"), strict=True))
    (directory / "vocab.json").write_text(
        json.dumps({victims.get(piece, piece): number for piece, number in table.items()}), "utf-8"
    )
    manifest = make_bundle(directory, tmp_path / "bundle").manifest
    assert manifest.target_tokens == {"fr": ">>fra<<", "en": ">>eng<<"}
    assert manifest.target_language_codes == ("en", "fr")
    assert all(golden.input_tokens[0] == ">>fra<<" for golden in manifest.golden)


def test_an_existing_output_is_not_touched(
    checkpoints: dict[str, Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """Building onto something that is there says so and changes nothing."""
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "mine").write_text("precious", "utf-8")
    with pytest.raises(OutputExistsError, match="exists already"):
        make_bundle(checkpoints["marian"], tmp_path / "bundle")
    assert (tmp_path / "bundle" / "mine").read_text("utf-8") == "precious"


def test_a_full_disk_is_told_before_anything_is_converted(
    checkpoints: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_bundle: Callable[..., Bundle],
) -> None:
    """Room is compared with what the weights will take; nothing is left behind."""
    usage = shutil.disk_usage("/")._replace(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DiskFullError, match=r"needs up to [\d,]{5,} bytes .* room for 1,000"):
        make_bundle(checkpoints["marian"], tmp_path / "out" / "bundle")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_a_lost_tensor_is_named(
    family: str,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    edit_tensors: Edit,
    make_bundle: Callable[..., Bundle],
) -> None:
    """Weights that lack a tensor are refused by its name, and nothing is left behind."""
    directory = checkpoint(family)
    name = "model.encoder.layers.0.fc1.weight" if family == "marian" else "lm_head.weight"
    edit_tensors(directory, lambda tensors: tensors.pop(name))
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        make_bundle(directory, tmp_path / "out" / "bundle")
    assert list((tmp_path / "out").iterdir()) == []


def test_half_a_weight_file_is_told(
    checkpoint: Callable[[str], Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """A download that broke off is named as damaged."""
    directory = checkpoint("marian")
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:5_000])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged or incomplete"):
        make_bundle(directory, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("family", "file"),
    [
        ("marian", "source.spm"),
        ("marian", "target.spm"),
        ("marian", "vocab.json"),
        ("marian", "config.json"),
        ("mt5", "spiece.model"),
    ],
)
def test_a_missing_file_is_named(
    family: str,
    file: str,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
) -> None:
    """Whatever file of a checkpoint is missing, the message says which."""
    directory = checkpoint(family)
    (directory / file).unlink()
    with pytest.raises(CheckpointError, match=file.replace(".", r"\.")):
        make_bundle(directory, tmp_path / "bundle")


def test_missing_weights_are_told(
    checkpoint: Callable[[str], Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """A directory without weights says which files could have held them."""
    directory = checkpoint("mt5")
    (directory / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors nor pytorch_model"):
        make_bundle(directory, tmp_path / "bundle")


@pytest.mark.parametrize("file", ["source.spm", "vocab.json", "config.json"])
def test_a_damaged_file_is_named(
    file: str,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    make_bundle: Callable[..., Bundle],
) -> None:
    """A file that is not what its name says is refused by that name."""
    directory = checkpoint("marian")
    (directory / file).write_bytes(b"<html>not found</html>")
    with pytest.raises(CheckpointError, match=file.replace(".", r"\.")):
        make_bundle(directory, tmp_path / "bundle")


def test_another_architecture_is_told(
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    edit_json: Edit,
    make_bundle: Callable[..., Bundle],
) -> None:
    """A BART checkpoint is refused with what can be built."""
    directory = checkpoint("marian")
    edit_json(directory / "config.json", model_type="bart")
    with pytest.raises(CheckpointError, match="holds a 'bart' model; marian and mt5 can be built"):
        make_bundle(directory, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"encoder_layers": 2}, r"layers\.1"),
        ({"activation_function": "tanh"}, "activation 'tanh'"),
        ({"d_model": None}, "does not fit its config"),
        ({"decoder_start_token_id": 9999}, "names token 9999"),
        ({"tie_word_embeddings": False}, r"lm_head\.weight is missing"),
    ],
)
def test_a_config_that_does_not_fit_is_told(
    *,
    change: dict[str, object],
    complaint: str,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    edit_json: Edit,
    make_bundle: Callable[..., Bundle],
) -> None:
    """A configuration that contradicts the weights is refused before anything is written."""
    directory = checkpoint("marian")
    edit_json(directory / "config.json", **change)
    with pytest.raises(CheckpointError, match=complaint):
        make_bundle(directory, tmp_path / "bundle")


def test_a_vocabulary_larger_than_the_embedding_is_told(
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    edit_tensors: Edit,
    make_bundle: Callable[..., Bundle],
) -> None:
    """Tokenizer and weights of two models do not make one."""
    directory = checkpoint("marian")

    def cut(tensors: dict[str, Any]) -> None:
        tensors["model.shared.weight"] = tensors["model.shared.weight"][:100]

    edit_tensors(directory, cut)
    with pytest.raises(CheckpointError, match="has 100 rows"):
        make_bundle(directory, tmp_path / "bundle")


def test_a_checkpoint_without_terms_needs_them(
    checkpoint: Callable[[str], Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """Without a licence in its card, the caller is asked for one; likewise for languages."""
    directory = checkpoint("mt5")
    (directory / "README.md").write_text("no head\n", "utf-8")
    with pytest.raises(BuildError, match="--license"):
        make_bundle(directory, tmp_path / "bundle")
    with pytest.raises(BuildError, match="--languages"):
        make_bundle(directory, tmp_path / "bundle", license="MIT")
    languages = ("ara", "en")
    bundle = make_bundle(directory, tmp_path / "bundle", license="MIT", languages=languages)
    assert bundle.manifest.source_language_codes == ("ar", "en")


def test_an_unusable_tokenizer_is_noticed(
    checkpoint: Callable[[str], Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """A tokenizer that cuts everything to letters leaves no golden inputs, which is told."""
    from khulasa_server.bundles.building import pieces  # noqa: PLC0415 - only here

    directory = checkpoint("mt5")
    model = (directory / "spiece.model").read_bytes()
    (directory / "spiece.model").write_bytes(pieces.only(model, range(3 + 256 + 1)))
    with pytest.raises(BuildError, match="golden inputs"):
        make_bundle(directory, tmp_path / "bundle")


@pytest.mark.parametrize(
    ("config", "tied", "scaled"),
    [
        ({"tie_word_embeddings": True, "transformers_version": "4.51.3"}, True, True),
        ({"tie_word_embeddings": True}, True, True),
        ({"tie_word_embeddings": True, "transformers_version": "5.23.0"}, True, False),
        ({"tie_word_embeddings": False, "transformers_version": "4.51.3"}, True, False),
        ({"tie_word_embeddings": True, "transformers_version": "4.51.3"}, False, False),
    ],
)
def test_outputs_are_scaled_as_in_training(
    *, config: dict[str, Any], tied: bool, scaled: bool
) -> None:
    """Only what transformers 4 trained with tied matrices is scaled, whatever a config claims."""
    assert mt5.scales_outputs(config, tied=tied) is scaled


def test_the_output_layer_is_compared_not_believed(
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    edit_json: Edit,
    built: dict[str, Bundle],
    make_bundle: Callable[..., Bundle],
) -> None:
    """A config that calls an untied mT5 tied, as transformers 5 writes it, changes nothing."""
    directory = checkpoint("mt5")
    edit_json(directory / "config.json", tie_word_embeddings=True, transformers_version="4.30.0")
    bundle = make_bundle(directory, tmp_path / "bundle")
    model = f"{MODEL_DIRECTORY}/model.bin"
    assert bundle.manifest.files[model] == built["mt5"].manifest.files[model]


@pytest.mark.parametrize("part", ["row", "bias"])
def test_start_row_and_final_bias_reach_the_model(
    *,
    part: str,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    edit_tensors: Edit,
    built: dict[str, Bundle],
    make_bundle: Callable[..., Bundle],
) -> None:
    """Decoding starts from the checkpoint's own row, and the final bias is added: both matter."""
    directory = checkpoint("marian")

    def change(tensors: dict[str, Any]) -> None:
        if part == "row":
            row = tensors["model.shared.weight"][-1]
            row[:] = np.linspace(-1.0, 1.0, len(row))
        else:
            bias = tensors["final_logits_bias"][0]
            bias[:] = np.linspace(-3.0, 3.0, len(bias))

    edit_tensors(directory, change)
    bundle = make_bundle(directory, tmp_path / "bundle")
    scores = [golden.score for golden in built["marian"].manifest.golden]
    assert [golden.score for golden in bundle.manifest.golden] != scores


def test_keeping_pieces_is_for_mt5(
    checkpoints: dict[str, Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """Asking a Marian model to keep languages is refused: its sides keep their own pieces."""
    with pytest.raises(BuildError, match="for mT5 only"):
        make_bundle(checkpoints["marian"], tmp_path / "bundle", keep=Keep(languages=("ar",)))


def test_a_missing_package_is_named() -> None:
    """What building needs and serving does not is asked for in one sentence."""
    with pytest.raises(ToolMissingError, match=r"pip install 'khulasa-server\[convert\]'"):
        require("surely_not_installed")


@pytest.mark.parametrize("need", ["bin", "bfloat16"])
def test_torch_is_asked_for_only_where_it_is_needed(
    need: str,
    checkpoint: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make_bundle: Callable[..., Bundle],
) -> None:
    """`.bin` weights and bfloat16 need torch, and say so; everything else here does without."""
    monkeypatch.setitem(sys.modules, "torch", None)
    directory = checkpoint("marian")
    quantization = Quantization.BFLOAT16 if need == "bfloat16" else Quantization.INT8
    if need == "bin":
        (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    with pytest.raises(ToolMissingError, match="torch is needed here"):
        make_bundle(directory, tmp_path / "bundle", quantization=quantization)


def test_golden_inputs_are_arabic_wherever_arabic_is_read(
    checkpoints: dict[str, Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """A model of many languages is proven in Arabic, one that reads none in English."""
    many = make_bundle(checkpoints["mt5"], tmp_path / "many", languages=("am", "ar", "en"))
    other = make_bundle(checkpoints["mt5"], tmp_path / "other", languages=("de", "fr"))
    assert {golden.input for golden in many.manifest.golden} <= set(canary.golden_lines("ar"))
    assert {golden.input for golden in other.manifest.golden} <= set(canary.golden_lines("en"))


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    """Whatever goes wrong while a directory is made, there is nothing at its place."""

    def fail() -> None:
        with staged(tmp_path / "bundle") as stage:
            (stage / "half").write_text("made", "utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_leftovers_of_a_killed_build_are_swept(tmp_path: Path) -> None:
    """What a killed process left is removed by the next build; a living one's is not."""
    dead, living = (
        tmp_path / ".bundle.partial-4194304",
        tmp_path / f".bundle.partial-{os.getppid()}",
    )
    dead.mkdir()
    living.mkdir()
    with staged(tmp_path / "bundle") as stage:
        (stage / "whole").write_text("made", "utf-8")
    assert sorted(tmp_path.iterdir()) == [living, tmp_path / "bundle"]


def test_an_output_that_appears_meanwhile_wins(tmp_path: Path) -> None:
    """Of two builds of the same output, the second to finish gives way."""

    def race() -> None:
        with staged(tmp_path / "bundle"):
            (tmp_path / "bundle").mkdir()
            (tmp_path / "bundle" / "theirs").write_text("first", "utf-8")

    with pytest.raises(OutputExistsError):
        race()
    assert (tmp_path / "bundle" / "theirs").read_text("utf-8") == "first"
