"""Figures that others can recompute, of every script, and that survive an interruption."""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nltk
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from khulasa_server.bundles import evaluate, rouge
from khulasa_server.bundles.errors import EvaluationError
from khulasa_server.bundles.evaluate import Answer, Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from khulasa_server.bundles.store import Bundle

ARTICLE = (Path(__file__).parents[2] / "data" / "article_ar.txt").read_text("utf-8")
LINES = [line for line in ARTICLE.splitlines() if line.strip()]
PAIRS = [Pair(str(number), line, line.upper()) for number, line in enumerate(LINES)]


@dataclass(frozen=True)
class Said:
    """An output."""

    text: str
    tokens: tuple[str, ...]


@dataclass
class Shouting:
    """An engine that answers in capitals.

    Args:
        fails_after: calls after which it breaks; 0: never.
        seen: inputs of every call.
    """

    fails_after: int = 0
    seen: list[int] = field(default_factory=list)
    compute_type: str = "float32"

    def tokenize(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """Words."""
        return [(*text.split(" "), "</s>") for text in texts]

    def generate(self, batch: Sequence[tuple[str, ...]], options: object) -> list[Said]:
        """The same words in capitals."""
        del options
        if self.fails_after and len(self.seen) == self.fails_after:
            raise RuntimeError("broken")
        self.seen.append(len(batch))
        return [Said(" ".join(tokens[:-1]).upper(), tokens[:-1]) for tokens in batch]

    def score(
        self, batch: Sequence[tuple[str, ...]], targets: Sequence[tuple[str, ...]]
    ) -> list[list[float]]:
        """Not needed here."""
        raise NotImplementedError

    def close(self) -> None:
        """Nothing to free."""


def test_every_pair_is_answered_in_order(built: dict[str, Bundle]) -> None:
    """Batches are sorted by length; answers are not."""
    engine = Shouting()
    answers = evaluate.evaluate(engine, built["marian"].manifest, PAIRS, "options")
    assert [answer.output for answer in answers] == [line.upper() for line in LINES]
    assert max(engine.seen) == evaluate.BATCH_ITEMS


def test_an_interrupted_run_goes_on(built: dict[str, Bundle], tmp_path: Path) -> None:
    """Answers written before a crash are not computed again, half a line is."""
    manifest, report = built["marian"].manifest, tmp_path / "report.jsonl"
    with pytest.raises(RuntimeError):
        evaluate.evaluate(Shouting(fails_after=1), manifest, PAIRS, "options", report=report)
    with report.open("a", encoding="utf-8") as lines:
        lines.write('{"id": "3", "sou')
    engine, told = Shouting(), list[int]()
    answers = evaluate.evaluate(engine, manifest, PAIRS, "options", report=report, done=told.append)
    assert sum(engine.seen) == len(PAIRS) - evaluate.BATCH_ITEMS
    assert sum(told) == len(PAIRS)
    assert [answer.output for answer in answers] == [line.upper() for line in LINES]
    assert len(report.read_text("utf-8").splitlines()) == len(PAIRS) + 1


def test_a_report_of_another_model_is_not_continued(
    built: dict[str, Bundle], tmp_path: Path
) -> None:
    """Answers of two models, or with two settings, are never mixed."""
    report = tmp_path / "report.jsonl"
    evaluate.evaluate(Shouting(), built["marian"].manifest, PAIRS, "options", report=report)
    for manifest, options in ((built["mt5"].manifest, "options"), (built["marian"].manifest, "x")):
        with pytest.raises(EvaluationError, match="another bundle or other options"):
            evaluate.evaluate(Shouting(), manifest, PAIRS, options, report=report)


def test_what_does_not_fit_is_cut_and_counted(built: dict[str, Bundle]) -> None:
    """Inputs longer than the window lose their end, keep end of sequence, and are told."""
    manifest = built["marian"].manifest
    small = manifest.model_copy(
        update={"limits": manifest.limits.model_copy(update={"max_input_tokens": 4})}
    )
    pair = Pair("1", "a b c d e", "A B C")
    answers = evaluate.evaluate(Shouting(), small, [pair], "options")
    assert (answers[0].output, answers[0].cut) == ("A B C", 2)
    figures = {figure.name: figure.value for figure in evaluate.figures(manifest, answers)}
    assert figures["cut texts"] == 1


def test_translations_are_scored_by_sacrebleu(built: dict[str, Bundle]) -> None:
    """BLEU and chrF are sacrebleu's own, with its signatures."""
    outputs = ["the cat sat on the mat today", "hello there world again"]
    references = ["the cat sat on a mat today", "hello world again there"]
    answers = [
        Answer(str(number), "x", reference, output, 5, 0, 0.5)
        for number, (output, reference) in enumerate(zip(outputs, references, strict=True))
    ]
    figures = {
        figure.name: figure for figure in evaluate.figures(built["marian"].manifest, answers)
    }
    assert figures["BLEU"].value == sacrebleu.corpus_bleu(outputs, [references]).score
    assert figures["chrF"].value == sacrebleu.corpus_chrf(outputs, [references]).score
    assert f"version:{sacrebleu.__version__}" in figures["BLEU"].signature
    assert figures["texts per second"].value == pytest.approx(2.0)
    assert figures["output tokens per second"].value == pytest.approx(10.0)


def test_summaries_are_scored_by_rouge(built: dict[str, Bundle]) -> None:
    """Of Arabic summaries there is something left to compare."""
    answer = Answer("1", "x", "وصل الوفد إلى القاهرة", "وصل الوفد إلى بغداد", 5, 0, 0.5)
    figures = {figure.name: figure for figure in evaluate.figures(built["mt5"].manifest, [answer])}
    assert figures["ROUGE-1"].value == pytest.approx(75.0)
    assert figures["ROUGE-2"].value == pytest.approx(100 * 2 / 3)
    assert figures["ROUGE-L"].value == pytest.approx(75.0)
    assert figures["ROUGE-1"].signature.startswith("multilingual-rouge|version:0.0.1|lang:ar|stem:")


STOCK = rouge_scorer.RougeScorer(["rouge1", "rougeL"])


def test_stock_rouge_drops_arabic_and_ours_does_not() -> None:
    """Of two Arabic texts alike the common scorer finds nothing alike, and of digits all."""
    text = "وصل الوفد إلى القاهرة"
    assert STOCK.score(text, text)["rouge1"].fmeasure == 0.0
    ours = rouge.Rouge("ar")
    assert ours.score(text, text) == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}
    # Unlike texts with one number in common are alike to it, and nearly unlike to ours.
    other = "غادر الرئيس بغداد"
    assert STOCK.score(f"{text} 2024", f"{other} 2024")["rouge1"].fmeasure == 1.0
    assert ours.score(f"{text} 2024", f"{other} 2024")["rouge1"] == pytest.approx(2 / 9)


def test_inflected_words_meet_in_their_stem() -> None:
    """As the authors count, a word with its article or plural is the same word."""
    one, other = "زار المهندسون المصنع", "زار مهندس مصنعا"
    assert rouge.Rouge("ar").score(one, other)["rouge1"] == pytest.approx(1.0)
    assert rouge.score(one, other)["rouge1"] == pytest.approx(1 / 3)


def test_stop_words_are_spared_where_their_list_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With NLTK's list, as the authors have it, its words are not stemmed; the signature tells."""
    text, other = "الذين", "ذين"
    without = rouge.Rouge("ar")
    assert without.signature.endswith("stem:arabic-without-stopwords")
    words = tmp_path / "corpora" / "stopwords"
    words.mkdir(parents=True)
    (words / "arabic").write_text(f"{text}\n", "utf-8")
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    # The corpus is looked for once and then remembered.
    monkeypatch.setattr(nltk.corpus, "stopwords", fresh_stop_words())
    monkeypatch.setattr("nltk.stem.snowball.stopwords", nltk.corpus.stopwords)
    spared = rouge.Rouge("ar")
    assert spared.signature.endswith("stem:arabic")
    assert spared.score(text, other)["rouge1"] < without.score(text, other)["rouge1"]


def fresh_stop_words() -> Any:  # noqa: ANN401 - NLTK has no types
    """NLTK's reader of stop words, as it is before anything was read."""
    return nltk.corpus.util.LazyCorpusLoader(
        "stopwords", nltk.corpus.reader.WordListCorpusReader, r"(?!README|\.).*", encoding="utf8"
    )


@pytest.mark.parametrize("text", LINES)
def test_our_words_are_the_authors(text: str) -> None:
    """Without stems, what is computed where their package is missing is what it computes."""
    make = importlib.import_module("multilingual_rouge.rouge_scorer").RougeScorer
    plain = make(list(rouge.KINDS))
    other = LINES[0] + text[: len(text) // 2]
    theirs = {kind: one.fmeasure for kind, one in plain.score(text, other).items()}
    assert rouge.score(text, other) == pytest.approx(theirs)


def test_a_missing_package_is_told_by_the_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the authors' package nothing is stemmed, and the figure says so."""

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert rouge.Rouge("ar").signature == "rouge|lang:ar|case:lc|tok:unicode|stem:none"


def test_each_answer_has_its_own_scores(built: dict[str, Bundle], tmp_path: Path) -> None:
    """The report says of every sentence how good it is, so that the bad ones can be read."""
    pairs = [Pair("1", "a b c d", "A B C D"), Pair("2", "a b c d", "X Y Z")]
    for family, names in (
        ("marian", {"BLEU", "chrF"}),
        ("mt5", {"ROUGE-1", "ROUGE-2", "ROUGE-L"}),
    ):
        report = tmp_path / f"{family}.jsonl"
        evaluate.evaluate(Shouting(), built[family].manifest, pairs, "options", report=report)
        _, *lines = map(json.loads, report.read_text("utf-8").splitlines())
        scores = {line["id"]: line["scores"] for line in lines}
        assert scores["1"] == pytest.approx(dict.fromkeys(names, 100.0))
        assert all(value < 5.0 for value in scores["2"].values())


def test_references_are_in_a_language_the_model_writes(built: dict[str, Bundle]) -> None:
    """Arabic is what a summarizer of many languages is judged in, unless another is named."""
    many = built["mt5"].manifest.model_copy(
        update={"target_language_codes": ("am", "ar", "en", "zh-Hans")}
    )
    assert evaluate.written_in(many) == "ar"
    assert evaluate.written_in(built["marian"].manifest) == "en"
    answer = Answer("1", "x", "the ministers met", "a minister meets", 3, 0, 0.5)
    figures = {one.name: one for one in evaluate.figures(many, [answer], "en")}
    assert "lang:en|stem:english" in figures["ROUGE-1"].signature
    assert figures["ROUGE-1"].value > 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("قال «أحمد»: نعم!", ["قال", "أحمد", "نعم"]),
        ("بنسبة 3.5% في عام2023", ["بنسبة", "3", "5", "في", "عام", "2023"]),
        ("كَتَبَ الدرسَ", ["كَتَبَ", "الدرسَ"]),
        ("Привет, мир", ["привет", "мир"]),
        ("東京へ", ["東", "京", "へ"]),
        ("يمكن\u200fك\nان €5 $5", ["يمكنك", "ان", "€", "5", "5"]),
        ("... !", []),
    ],
)
def test_no_script_is_dropped(text: str, words: list[str]) -> None:
    """Letters of every script are words; punctuation and control characters are not."""
    assert rouge.words(text) == words


WORDS = st.sampled_from(["في", "بيت", "كتاب", "قلم", "12", "the"])
TEXTS = st.lists(WORDS, max_size=12).map(" ".join)


@given(text=TEXTS, other=TEXTS)
def test_rouge_is_a_proportion(text: str, other: str) -> None:
    """Between 0 and 1, symmetric, 1 for the same text, L at most 1's."""
    scores = rouge.score(text, other)
    assert all(0.0 <= value <= 1.0 for value in scores.values())
    assert scores == rouge.score(other, text)
    assert scores["rougeL"] <= scores["rouge1"]
    if rouge.words(text):
        assert rouge.score(text, text)["rouge1"] == rouge.score(text, text)["rougeL"] == 1.0


def test_pairs_are_read_from_both_formats(tmp_path: Path) -> None:
    """Tab-separated text and reference, or JSON lines with text and summary."""
    (tmp_path / "a.tsv").write_text("س\tx\tmore\nص\ty\n", "utf-8")
    assert evaluate.read_pairs(tmp_path / "a.tsv") == [Pair("1", "س", "x"), Pair("2", "ص", "y")]
    lines = [{"id": "a", "text": "س", "summary": "x"}, {"text": "ص", "summary": "y"}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)), "utf-8")
    assert evaluate.read_pairs(tmp_path / "a.jsonl") == [Pair("a", "س", "x"), Pair("2", "ص", "y")]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.csv", "x,y", "neither .tsv nor .jsonl"),
        ("a.tsv", "س\tx\nno tab\n", "line 2"),
        ("a.jsonl", '{"text": "x"}', "line 1"),
        ("a.jsonl", "{", "line 1"),
        ("a.tsv", "", "is empty"),
    ],
)
def test_a_file_that_is_no_data_is_told(
    tmp_path: Path, name: str, content: str, complaint: str
) -> None:
    """The line at fault is named."""
    (tmp_path / name).write_text(content, "utf-8")
    with pytest.raises(EvaluationError, match=complaint):
        evaluate.read_pairs(tmp_path / name)


def test_time_is_the_models_alone(built: dict[str, Bundle]) -> None:
    """Seconds are those around the model's call, shared by its batch."""
    ticks = count()
    pairs = [replace(PAIRS[0], id=str(number)) for number in range(4)]
    answers = evaluate.evaluate(
        Shouting(), built["marian"].manifest, pairs, "options", clock=lambda: float(next(ticks))
    )
    assert [answer.seconds for answer in answers] == [0.25] * 4
