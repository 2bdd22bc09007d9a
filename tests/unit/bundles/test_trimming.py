"""A trimmed vocabulary cuts text as before, and writes what the full one would, suppressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import ctranslate2
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from khulasa_server.bundles import store
from khulasa_server.bundles.building import alphabets, pieces, trimming
from khulasa_server.bundles.building.trimming import Keep
from khulasa_server.bundles.errors import BuildError
from khulasa_server.bundles.manifest import Quantization

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from khulasa_server.bundles.store import Bundle

ARTICLE = (Path(__file__).parents[2] / "data" / "article_ar.txt").read_text("utf-8")
LINES = [line for line in ARTICLE.splitlines() if line.strip()]
DEMO = store.embedded_directory() / "demo-mt5-ar-summary" / "spiece.model"


def processor(model: bytes) -> sentencepiece.SentencePieceProcessor:
    """A tokenizer from its bytes."""
    return sentencepiece.SentencePieceProcessor(model_proto=model)


@pytest.fixture(scope="module")
def full() -> bytes:
    """The embedded summarizer's SentencePiece model: 8,000 pieces with byte fallback."""
    return DEMO.read_bytes()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first half of the article."""
    path = tmp_path_factory.mktemp("corpus") / "corpus.txt"
    path.write_text("\n".join(LINES[: len(LINES) // 2]), "utf-8")
    return path


def test_text_whose_pieces_stay_is_cut_the_same(full: bytes, corpus: Path) -> None:
    """On the corpus that chose them, a third of the pieces cuts every line as all do."""
    kept = trimming.select(full, Keep(corpus=corpus, most=2_700))
    before, after = processor(full), processor(pieces.only(full, kept))
    for line in corpus.read_text("utf-8").splitlines():
        assert after.encode(line, out_type=str) == before.encode(line, out_type=str)


SMALL = pieces.unigram(
    [
        pieces.Piece("<unk>", 0.0, pieces.UNKNOWN),
        *pieces.byte_pieces(),
        *alphabets.scored(
            [*alphabets.common(150), *alphabets.syllables(alphabets.ARABIC[:9] + "abc", 800)]
        ),
    ],
    byte_fallback=True,
)
KNOWN = pieces.parse(SMALL)


@settings(max_examples=100, deadline=None)
@given(
    text=st.text(alphabets.ARABIC[:12] + "abcd 12.,؟\u200fЖ漢😀", max_size=40),
    dropped=st.sets(st.integers(258, len(KNOWN) - 2), max_size=600),
)
def test_cutting_changes_only_where_a_piece_is_gone(text: str, dropped: set[int]) -> None:
    """For any text and any dropped pieces: the same pieces, unless a dropped one was used."""
    before = processor(SMALL)
    after = processor(pieces.only(SMALL, set(range(len(KNOWN))) - dropped))
    numbers = before.encode(text)
    if not dropped & set(numbers):
        # An unknown letter has no number of its own: it is spelled in bytes.
        assert after.encode(text, out_type=str) == [KNOWN[number].text for number in numbers]
    assert after.decode(after.encode(text)) == before.decode(numbers)


def test_the_least_probable_piece_stays(full: bytes) -> None:
    """SentencePiece takes the score of an unknown letter from it: without it, cuts would move."""
    scores = [piece.score for piece in pieces.parse(full) if piece.kind == pieces.NORMAL]
    kept = trimming.select(full, Keep(languages=("ar",), most=1_500))
    left = [piece.score for piece in pieces.parse(pieces.only(full, kept))]
    assert {min(scores), max(scores)} <= set(left)


def test_scores_and_order_are_left_alone(full: bytes) -> None:
    """What stays keeps its score, kind and place among the others."""
    kept = trimming.select(full, Keep(languages=("ar",), most=3_000))
    known = pieces.parse(full)
    assert pieces.parse(pieces.only(full, kept)) == [known[number] for number in kept]
    assert kept == sorted(set(kept))
    assert len(kept) == 3_000


def test_specials_bytes_digits_and_signs_stay(full: bytes, corpus: Path) -> None:
    """Whatever chooses, no text becomes unwritable: special pieces, bytes, letters, digits."""
    known = pieces.parse(full)
    needed = {piece.text for piece in known if piece.kind != pieces.NORMAL}
    needed |= {sign for sign in "0123456789.,:;!?()«»،؛؟" if sign in {p.text for p in known}}
    for keep in (Keep(languages=("ar",), most=1_500), Keep(corpus=corpus, most=1_500)):
        kept = {known[number].text for number in trimming.select(full, keep)}
        assert needed <= kept


def test_languages_choose_by_script() -> None:
    """Arabic and Latin stay for ar,en; Cyrillic, Han and Devanagari go; digits stay."""
    texts = ["▁سلام", "▁hello", "▁привет", "漢字", "नमस्ते", "▁2024", "…", "é"]
    model = pieces.unigram([pieces.Piece("<unk>", 0.0, pieces.UNKNOWN), *alphabets.scored(texts)])
    kept = trimming.select(model, Keep(languages=("ar", "en")))
    known = pieces.parse(model)
    # The least and the most probable piece stay for the scores of unknown letters.
    assert [known[number].text for number in kept] == [
        "<unk>", "▁سلام", "▁hello", "▁2024", "…", "é",
    ]  # fmt: skip


def test_own_script_goes_before_latin_and_use_before_both(tmp_path: Path) -> None:
    """When room is short: letters, then what the corpus uses, then Arabic, then Latin."""
    texts = ["▁zzz", "▁aaa", "▁bbb", "▁سلام", "▁كتاب", "▁yyy"]
    model = pieces.unigram([pieces.Piece("<unk>", 0.0, pieces.UNKNOWN), *alphabets.scored(texts)])
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("bbb bbb\n", "utf-8")
    kept = trimming.select(model, Keep(languages=("ar",), corpus=corpus, most=6))
    known = [pieces.parse(model)[number].text for number in kept]
    assert known == ["<unk>", "▁zzz", "▁bbb", "▁سلام", "▁كتاب", "▁yyy"]


@pytest.mark.parametrize(
    ("keep", "complaint"),
    [
        (Keep(), "say what to keep"),
        (Keep(languages=("tlh",)), "script of 'tlh' is not known"),
        (Keep(languages=("ar",), most=100), "100 pieces are too few: 26"),
    ],
)
def test_what_cannot_be_kept_is_told(full: bytes, keep: Keep, complaint: str) -> None:
    """No choice, an unknown language and too little room are each one sentence."""
    with pytest.raises(BuildError, match=complaint):
        trimming.select(full, keep)


def vocabulary(bundle: Bundle, side: str) -> list[str]:
    """Pieces a bundle reads or writes."""
    shared = bundle.model_directory / "shared_vocabulary.json"
    file = shared if shared.is_file() else shared.with_name(f"{side}_vocabulary.json")
    pieces: list[str] = json.loads(file.read_bytes())
    return pieces


def outputs(
    bundle: Bundle, sources: Sequence[Sequence[str]], beam: int, suppressed: Sequence[str] = ()
) -> list[list[str]]:
    """What a bundle writes when it may not write some pieces."""
    translator = ctranslate2.Translator(str(bundle.model_directory), intra_threads=1)
    results = translator.translate_batch(
        [list(source) for source in sources],
        beam_size=beam,
        max_decoding_length=12,
        min_decoding_length=0,
        length_penalty=0.6,
        suppress_sequences=[[piece] for piece in suppressed] or None,
    )
    return [result.hypotheses[0] for result in results]


@pytest.fixture(scope="module")
def pairs(
    checkpoints: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
    make_bundle: Callable[..., Bundle],
) -> dict[str, tuple[Bundle, Bundle]]:
    """For each family, a float32 bundle with every piece and a trimmed one."""
    root = tmp_path_factory.mktemp("pairs")
    options = {
        "marian": ({"full_vocabulary": True}, {}),
        "mt5": ({}, {"keep": Keep(languages=("ar",), most=420)}),
    }
    return {
        family: (
            make_bundle(
                checkpoints[family], root / f"{family}-full",
                quantization=Quantization.FLOAT32, **whole,
            ),
            make_bundle(
                checkpoints[family], root / f"{family}-part",
                quantization=Quantization.FLOAT32, **part,
            ),
        )
        for family, (whole, part) in options.items()
    }  # fmt: skip


@pytest.mark.parametrize("family", ["marian", "mt5"])
@pytest.mark.parametrize("beam", [1, 4])
def test_a_trimmed_model_is_the_full_one_with_the_rest_suppressed(
    family: str, beam: int, pairs: dict[str, tuple[Bundle, Bundle]]
) -> None:
    """Token for token, in float32, at beams 1 and 4."""
    whole, part = pairs[family]
    dropped = sorted(set(vocabulary(whole, "target")) - set(vocabulary(part, "target")))
    assert dropped
    tokenizer = processor((part.path / part.manifest.tokenizer.source).read_bytes())
    sources = [[*tokenizer.encode(line[:50], out_type=str), "</s>"] for line in LINES]
    assert outputs(part, sources, beam) == outputs(whole, sources, beam, dropped)


@pytest.mark.parametrize("family", ["marian", "mt5"])
def test_greedy_output_that_stays_inside_is_the_full_models(
    family: str, pairs: dict[str, tuple[Bundle, Bundle]]
) -> None:
    """At beam 1 a smaller softmax changes no choice: same output wherever no piece is missing."""
    whole, part = pairs[family]
    kept = set(vocabulary(part, "target"))
    tokenizer = processor((part.path / part.manifest.tokenizer.source).read_bytes())
    sources = [[*tokenizer.encode(line[:50], out_type=str), "</s>"] for line in LINES]
    both = zip(outputs(whole, sources, 1), outputs(part, sources, 1), strict=True)
    for unmasked, trimmed in both:
        inside = next((i for i, piece in enumerate(unmasked) if piece not in kept), len(unmasked))
        assert trimmed[:inside] == unmasked[:inside]


def test_a_trimmed_bundle_records_what_it_left_out(
    pairs: dict[str, tuple[Bundle, Bundle]],
) -> None:
    """The map leads from every piece to its row; sizes before and after are told."""
    whole, part = pairs["mt5"]
    trimming_record = part.manifest.trimming
    assert trimming_record is not None
    rows = json.loads((part.path / trimming_record.map).read_bytes())["shared"]
    everything = vocabulary(whole, "target")
    assert [everything[row] for row in rows] == vocabulary(part, "target")
    assert trimming_record.pieces_before == 612 == whole.manifest.vocabulary_size
    assert part.manifest.vocabulary_size == len(rows) < 612
    assert trimming_record.parameters_before == whole.manifest.parameters
    assert part.manifest.parameters < whole.manifest.parameters
    assert trimming_record.languages == ("ar",)


def test_marian_writes_its_own_pieces(pairs: dict[str, tuple[Bundle, Bundle]]) -> None:
    """The target's pieces are those of its SentencePiece model, and the one to start from."""
    _, part = pairs["marian"]
    own = {piece.text for piece in pieces.parse((part.path / "target.spm").read_bytes())}
    assert set(vocabulary(part, "target")) == own - {"<s>"} | {"<pad>"}
    record = part.manifest.trimming
    assert record is not None
    assert record.pieces_before == 420


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabets.ARABIC + alphabets.LATIN + " 12.,Ж", max_size=30))
def test_marian_reads_what_it_read_before(
    pairs: dict[str, tuple[Bundle, Bundle]], checkpoints: dict[str, Path], text: str
) -> None:
    """Any text meets the same rows, even letters that only the other side has a piece for."""
    _, part = pairs["marian"]
    table = json.loads((checkpoints["marian"] / "vocab.json").read_bytes())
    record = part.manifest.trimming
    assert record is not None
    rows = json.loads((part.path / record.map).read_bytes())["source"]
    ours = dict(zip(vocabulary(part, "source"), rows, strict=True))
    cut = processor((part.path / "source.spm").read_bytes()).encode(text, out_type=str)
    unknown = table["<unk>"]
    assert [ours.get(piece, unknown) for piece in cut] == [table.get(p, unknown) for p in cut]


def test_a_trimmed_bundle_serves_the_languages_it_kept(
    checkpoints: dict[str, Path], tmp_path: Path, make_bundle: Callable[..., Bundle]
) -> None:
    """Of the languages a model knows, those whose pieces went are served no more."""
    bundle = make_bundle(
        checkpoints["mt5"],
        tmp_path / "bundle",
        languages=("ar", "en", "ru"),
        keep=Keep(languages=("ara", "en")),
    )
    assert bundle.manifest.source_language_codes == ("ar", "en")
    with pytest.raises(BuildError, match="knows none of hi"):
        make_bundle(
            checkpoints["mt5"], tmp_path / "none", languages=("ar",), keep=Keep(languages=("hi",))
        )


def test_the_corpus_is_recorded(
    checkpoints: dict[str, Path],
    tmp_path: Path,
    corpus: Path,
    make_bundle: Callable[..., Bundle],
) -> None:
    """A bundle trimmed by a corpus names the corpus by its digest."""
    bundle = make_bundle(checkpoints["mt5"], tmp_path / "bundle", keep=Keep(corpus=corpus))
    record = bundle.manifest.trimming
    assert record is not None
    assert record.corpus_sha256 == store.digest_file(corpus).sha256
