"""Outputs in the places of their sources."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.text.assembly import Joiner, assemble, stream
from khulasa_server.text.segmentation import split
from khulasa_server.text.spans import Span

TEXTS = st.lists(
    st.sampled_from(
        ["كلمة", "د.", ".", "؟", "- ", "-كلمة", "1. ", " ", "\n", "\n\n", "\u00a0", "😀", "。"]
    )
).map("".join)
OUTPUTS = st.lists(
    st.sampled_from(["", "word", "Word.", " word ", ",", "好", "(", "A"]), min_size=1
)


@given(TEXTS, OUTPUTS)
def test_the_stream_is_the_whole(text: str, outputs: list[str]) -> None:
    """Pieces put together are the result, and every target span holds its output."""
    spans = split(text, "ar")
    chosen = [outputs[i % len(outputs)] for i in range(len(spans))]
    whole = assemble(text, spans, chosen)
    pieces = list(stream(text, spans, iter(chosen)))
    if spans:
        assert "".join(piece.text for piece in pieces) == whole.text
    assert tuple(piece.target for piece in pieces) == whole.targets
    assert [target.of(whole.text) for target in whole.targets] == chosen


@given(TEXTS)
def test_copies_give_the_source_back(text: str) -> None:
    """Where every segment is copied, the result is the text, whitespace and all."""
    spans = split(text, "ar")
    assert assemble(text, spans, [span.of(text) for span in spans]).text == text


@given(TEXTS)
def test_whitespace_survives(text: str) -> None:
    """Gaps before, between and after segments are in the result, in their order."""
    spans = split(text, "ar")
    whole = assemble(text, spans, ["x"] * len(spans))
    ends = [0, *(target.end for target in whole.targets)]
    starts = [*(target.start for target in whole.targets), len(whole.text)]
    source_ends = [0, *(span.end for span in spans)]
    source_starts = [*(span.start for span in spans), len(text)]
    gaps = [text[a:b] for a, b in zip(source_ends, source_starts, strict=True)]
    found = [whole.text[a:b] for a, b in zip(ends, starts, strict=True)]
    assert [gap or " " for gap in found] == [gap or " " for gap in gaps]


@pytest.mark.parametrize(
    ("text", "outputs", "expected"),
    [
        pytest.param("جاء.ثم ذهب.", ["He came.", "Then he left."], "He came. Then he left.",
                     id="sentences that touch"),
        pytest.param("-بند", ["-", "Item"], "-Item", id="a copied mark stays close"),
        pytest.param("  - بند\n", ["-", "Item"], "  - Item\n", id="a list item"),
        pytest.param("شكرا😀", ["Thanks", "😀"], "Thanks😀", id="a copied emoji stays close"),
        pytest.param("جاء.ثم", ["He came", ", then"], "He came, then", id="closing mark"),
        pytest.param("جاء.ثم", ["He came. ", "Then"], "He came. Then", id="space in an output"),
        pytest.param("جاء.ثم", ["", "Then"], "Then", id="empty output"),
        pytest.param("جاء.ثم؟نعم", ["Came", "", "Yes"], "Came Yes", id="empty output between"),
        pytest.param("جاء.ثم", ["来了。", "然后"], "来了。然后", id="a script without spaces"),
        pytest.param("عنوان\n\n\tنص\r\n", ["Title", "Text"], "Title\n\n\tText\r\n",
                     id="paragraphs"),
        pytest.param("\n \n", [], "\n \n", id="blank"),
        pytest.param("", [], "", id="empty"),
    ],
)  # fmt: skip
def test_joints(text: str, outputs: list[str], expected: str) -> None:
    """The layout is the source's; a space is added only between translated words."""
    assert assemble(text, split(text, "ar"), outputs).text == expected


def test_parts_of_one_word_are_parted_only_if_translated() -> None:
    """A word cut because of its length comes back whole when it is copied."""
    spans = [Span(0, 2), Span(2, 4)]
    assert assemble("ابتث", spans, ["اب", "تث"]).text == "ابتث"
    assert assemble("ابتث", spans, ["ab", "tth"]).text == "ab tth"


def test_outputs_must_match_segments() -> None:
    """A missing or a surplus output is an error, never a silent loss."""
    spans = split("جاء. ثم", "ar")
    with pytest.raises(ValueError, match="zip"):
        assemble("جاء. ثم", spans, ["He came."])
    joiner = Joiner("جاء", [Span(0, 3)])
    joiner.add("He came")
    with pytest.raises(IndexError):
        joiner.add("again")
