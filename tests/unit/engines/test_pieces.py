"""Text to pieces and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.engines.base import END, UNKNOWN, EngineError, EngineInputError
from khulasa_server.engines.pieces import CONTROL, Pieces, collapse_whitespace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle

CONTROL_TEXTS = (
    "</s>",
    "<s>",
    "<pad>",
    "<unk>",
    "<blank>",
    "<extra_id_0>",
    ">>eng<<",
    "قبل</s>بعد",
    "قبل <extra_id_0> بعد",
    ">>fra<< قبل",
    "<extra_id_0></s><pad>",
    "▁</s> ▁<extra_id_0>",
)


@pytest.fixture(scope="module")
def with_sentinels(
    train: Callable[..., bytes], arabic_lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model like mT5's: sentinels are symbols that it matches in text; bytes as fallback."""
    path = tmp_path_factory.mktemp("spm") / "spiece.model"
    symbols = ["▁<extra_id_0>", "<extra_id_0>", "<extra_id_17>", ">>eng<<"]
    path.write_bytes(
        train(
            arabic_lines,
            vocab_size=700,
            byte_fallback=True,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            user_defined_symbols=symbols,
        )
    )
    return path


@pytest.fixture(scope="module")
def arabic_only(
    train: Callable[..., bytes], arabic_lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model to which Latin letters and brackets are unknown: a run of them is one piece."""
    path = tmp_path_factory.mktemp("spm") / "source.spm"
    letters = [re.sub(r"[^\u0600-\u06ff\s]", "", line) for line in arabic_lines]
    path.write_bytes(train(letters, normalization_rule_name="identity"))
    return path


def test_sentencepiece_would_hand_over_control_tokens(
    with_sentinels: Path, arabic_only: Path
) -> None:
    """Without the guard, both kinds of model turn a user's text into control tokens."""
    for path, text in ((with_sentinels, "<extra_id_0>"), (arabic_only, "</s>")):
        bare = Pieces(path, path)._source.encode(text, out_type=str)  # noqa: SLF001 - the trap itself
        assert any(CONTROL.fullmatch(piece) for piece in bare)


@pytest.mark.parametrize("text", CONTROL_TEXTS)
@pytest.mark.parametrize("model", ["with_sentinels", "arabic_only"])
def test_text_never_becomes_a_control_token(
    text: str, model: str, request: pytest.FixtureRequest
) -> None:
    """Whatever a user writes, the only control token is the end we append."""
    path = request.getfixturevalue(model)
    (tokens,) = Pieces(path, path).encode([text])
    assert tokens[-1] == END
    assert [piece for piece in tokens[:-1] if CONTROL.fullmatch(piece) and piece != UNKNOWN] == []


def test_a_defused_token_keeps_its_text(with_sentinels: Path) -> None:
    """With bytes as fallback, nothing of a literal sentinel is lost."""
    pieces = Pieces(with_sentinels, with_sentinels)
    (tokens,) = pieces.encode(["قبل <extra_id_0> بعد"])
    assert pieces.decode([tokens[:-1]]) == ["قبل <extra_id_0> بعد"]


def test_a_defused_token_is_unknown_without_bytes(arabic_only: Path) -> None:
    """Where the model knows none of its letters, each is unknown."""
    (tokens,) = Pieces(arabic_only, arabic_only).encode(["</s>"])
    assert tokens == ("▁", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN, END)


@given(text=st.text(alphabet=st.sampled_from("</s>padunk_extr0>> ▁ابg"), max_size=40))
def test_no_spelling_of_control_tokens_gets_through(with_sentinels: Path, text: str) -> None:
    """Also nested, broken or joined ones never do."""
    (tokens,) = Pieces(with_sentinels, with_sentinels).encode([text])
    assert not any(CONTROL.fullmatch(piece) for piece in tokens[:-1])


@given(text=st.text(alphabet=st.characters(exclude_categories=())))
def test_any_text_is_encoded_or_refused(with_sentinels: Path, text: str) -> None:
    """Every string gives pieces, or EngineInputError where it holds a lone surrogate."""
    pieces = Pieces(with_sentinels, with_sentinels, collapse_whitespace)
    surrogate = any("\ud800" <= letter <= "\udfff" for letter in text)
    if surrogate:
        with pytest.raises(EngineInputError):
            pieces.encode([text])
    else:
        assert pieces.encode([text])[0][-1] == END


def test_a_lone_surrogate_is_told_by_its_place(arabic_only: Path) -> None:
    """The refusal says which text it was."""
    with pytest.raises(EngineInputError, match="code point 1") as caught:
        Pieces(arabic_only, arabic_only).encode(["سلام", "س\ud800"])
    assert caught.value.index == 1


@given(text=st.text(alphabet=st.sampled_from("اb \t\n\r\u00a0\u3000\u2028\x1c\x85\u200b")))
def test_whitespace_is_collapsed_as_the_card_asks(text: str) -> None:
    """The short form equals the card's two substitutions."""
    assert collapse_whitespace(text) == re.sub(r"\s+", " ", re.sub(r"\n+", " ", text.strip()))


def test_every_character_collapses_as_the_card_asks() -> None:
    """The same, for each code point between two letters and at the ends."""
    for code_point in range(0x110000):
        letter = chr(code_point)
        text = f"{letter}a{letter}{letter}b{letter}"
        if letter.isspace() or re.match(r"\s", letter):
            assert collapse_whitespace(text) == "a b"
        else:
            assert collapse_whitespace(text) == text


def test_the_manifest_says_how_to_prepare(
    bundle_of: Callable[[str], Bundle], manifest_of: Callable[..., Manifest]
) -> None:
    """mT5 reads collapsed whitespace; without the manifest's word, text is taken as it is."""
    bundle = bundle_of("mt5")
    described = bundle.manifest.tokenizer.model_copy(update={"preprocessing": "none"})
    plain = manifest_of("mt5", tokenizer=described)
    assert (
        Pieces.of_bundle(bundle.path, bundle.manifest).encode(["أ\n\nب", "أ ب"])[0]
        == (Pieces.of_bundle(bundle.path, plain).encode(["أ ب"])[0])
    )
    assert bundle.manifest.tokenizer.preprocessing == "collapse_whitespace"


def test_pieces_are_never_cut(bundle_of: Callable[[str], Bundle]) -> None:
    """A text far beyond the model's window comes back whole."""
    bundle = bundle_of("mt5")
    pieces = Pieces.of_bundle(bundle.path, bundle.manifest)
    (tokens,) = pieces.encode(["سلام " * 2000])
    assert len(tokens) > 2000
    assert pieces.decode([tokens[:-1]]) == [("سلام " * 2000).strip()]


def test_unknown_output_is_visible(bundle_of: Callable[[str], Bundle]) -> None:
    """An unknown piece in an output is not dropped silently."""
    bundle = bundle_of("marian")
    (text,) = Pieces.of_bundle(bundle.path, bundle.manifest).decode([("▁The", UNKNOWN)])
    assert text == "The ⁇ "


def test_broken_bytes_in_output_are_text(bundle_of: Callable[[str], Bundle]) -> None:
    """A model that writes half a character gives U+FFFD, never an error."""
    bundle = bundle_of("mt5")
    (text,) = Pieces.of_bundle(bundle.path, bundle.manifest).decode([("<0xD8>", "▁a")])
    assert text.encode()
    assert "\ufffd" in text


def test_a_missing_or_damaged_tokenizer_is_an_engine_error(tmp_path: Path) -> None:
    """The error names the file."""
    damaged = tmp_path / "source.spm"
    damaged.write_bytes(b"no model")
    for path in (damaged, tmp_path / "absent.spm"):
        with pytest.raises(EngineError, match=path.name):
            Pieces(path, path)
