"""Documents of joined sentences, as long as asked for, and what counts as a copy."""

from __future__ import annotations

from training import copies


def test_documents_are_whole() -> None:
    """Two of three sentences make a document, the third is left out; each ends with a mark."""
    assert copies.joined(["أ", "ب؟", "ج"], 2) == [["أ.", "ب؟"]]


def test_cutting_keeps_the_end() -> None:
    """A document has exactly the length asked for, or is left out."""
    texts = [("a", "b", "c", "</s>"), ("a", "</s>")]
    assert copies.cut(texts, 3) == [("a", "b", "</s>")]


def test_copy_is_exact_but_for_white_space_around_it() -> None:
    """Half a sentence is none."""
    assert copies.exact([" وصل الوزير.", "وصل"], ["وصل الوزير.", "وصل الوزير."]) == 1
