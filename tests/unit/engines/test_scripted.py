"""The engine that other rooms are tested with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khulasa_server.engines.base import (
    END,
    EngineError,
    EngineInputError,
    Finish,
    GenerationOptions,
)
from khulasa_server.engines.pieces import CONTROL
from khulasa_server.engines.scripted import (
    Call,
    Script,
    ScriptedEngine,
    restore,
    transliterate,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle

LETTERS = "ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئةى"
ENGLISH = ">>eng<<"
GERMAN = ">>deu<<"
OPTIONS = GenerationOptions(max_output_tokens=60)


@pytest.fixture(scope="module")
def manifest(bundle_of: Callable[[str], Bundle]) -> Manifest:
    """Of a translator."""
    return bundle_of("marian").manifest


@pytest.fixture
def make(manifest_of: Callable[..., Manifest]) -> Callable[..., ScriptedEngine]:
    """A scripted translator, or another task, with a script."""

    def build(family: str = "marian", **script: object) -> ScriptedEngine:
        return ScriptedEngine(manifest_of(family), Script(**script))  # type: ignore[arg-type]

    return build


def run(engine: ScriptedEngine, *texts: str, options: GenerationOptions = OPTIONS) -> list[str]:
    """Texts of the outputs."""
    return [output.text for output in engine.generate(engine.tokenize(texts), options)]


@given(text=st.text(alphabet=LETTERS + " .،؟0٣"))
def test_transliteration_can_be_undone(text: str) -> None:
    """No two Arabic letters become one, and none is left Arabic."""
    assert restore(transliterate(text)) == text
    assert not set(LETTERS) & set(transliterate(text))


def test_a_translation_depends_on_its_own_input(make: Callable[..., ScriptedEngine]) -> None:
    """Alone, in another order, or beside others: the same output."""
    engine, texts = make(), ["سلام عليكم", "مرحبا", "كيف حالك؟"]
    together = run(engine, *texts)
    assert together == list(map(transliterate, texts))
    assert run(engine, *reversed(texts)) == together[::-1]
    assert [run(engine, text)[0] for text in texts] == together


@given(text=st.text())
def test_pieces_give_the_text_back_and_no_control_token(manifest: Manifest, text: str) -> None:
    """Words survive with one space between them; whatever is written, `</s>` is only the end."""
    words = " ".join(text.replace("▁", " ").split())
    (tokens,) = ScriptedEngine(manifest).tokenize([words])
    assert tokens[-1] == END
    assert not any(CONTROL.fullmatch(piece) for piece in tokens[:-1])
    assert "".join(tokens[:-1]).replace("▁", " ").strip(" ") == words


def test_a_summary_is_the_beginning(make: Callable[..., ScriptedEngine]) -> None:
    """A summarizer quotes as many pieces as the script says."""
    engine = make("mt5", summary_pieces=2)
    assert run(engine, "سلام عليكم") == ["سلام"]


def test_an_output_without_room_is_cut(make: Callable[..., ScriptedEngine]) -> None:
    """At the limit the end cannot be written any more, as in a model."""
    engine = make()
    tokens = engine.tokenize(["سلا عبد"])
    text = transliterate("سلا عبد")
    whole, exact, cut = (
        engine.generate(tokens, GenerationOptions(max_output_tokens=most))[0] for most in (3, 2, 1)
    )
    assert [output.finish for output in (whole, exact, cut)] == [
        Finish.END,
        Finish.LENGTH,
        Finish.LENGTH,
    ]
    assert (whole.text, exact.text, cut.text) == (text, text, text[:3])


def test_scores_agree_with_teacher_forcing(make: Callable[..., ScriptedEngine]) -> None:
    """The score of an output is the mean of what `score` says of its tokens."""
    engine = make()
    tokens = engine.tokenize(["سلام عليكم", "مرحبا"])
    outputs = engine.generate(tokens, OPTIONS)
    rows = engine.score(tokens, [output.tokens for output in outputs])
    for output, row in zip(outputs, rows, strict=True):
        assert output.score == pytest.approx(sum(row) / len(row))
        assert all(-1 <= chance < 0 for chance in row)


def test_poison_fails_the_batch(make: Callable[..., ScriptedEngine]) -> None:
    """One marked input takes its neighbours with it; without it they succeed."""
    engine = make(poison=frozenset({"سم"}))
    with pytest.raises(EngineError) as caught:
        run(engine, "سلام", "سم")
    assert not isinstance(caught.value, EngineInputError)
    assert run(engine, "سلام") == [transliterate("سلام")]


def test_an_unrunnable_input_is_named(make: Callable[..., ScriptedEngine]) -> None:
    """The refusal carries the input's place in the batch."""
    engine = make(unrunnable=frozenset({"مستحيل"}))
    with pytest.raises(EngineInputError) as caught:
        run(engine, "سلام", "هذا مستحيل")
    assert caught.value.index == 1


def test_misbehaving_outputs(make: Callable[..., ScriptedEngine]) -> None:
    """Silent, cut and looping inputs spoil their own output alone."""
    engine = make(silent=frozenset({"صمت"}), cut=frozenset({"قطع"}), looping=frozenset({"دور"}))
    tokens = engine.tokenize(["صمت", "قطع هنا الآن", "دور", "سلام"])
    silent, cut, looping, fine = engine.generate(tokens, OPTIONS)
    assert (silent.text, silent.finish) == ("", Finish.END)
    assert cut.finish is Finish.LENGTH
    assert transliterate("قطع هنا الآن").startswith(cut.text)
    assert len(looping.tokens) == 60
    assert (len(set(looping.tokens)), looping.finish) == (1, Finish.LENGTH)
    assert fine.text == transliterate("سلام")


def test_a_ban_cures_a_loop_but_not_a_stubborn_one(make: Callable[..., ScriptedEngine]) -> None:
    """Stricter options help where a retry is meant to help."""
    engine = make(looping=frozenset({"دور"}), stubborn=frozenset({"عناد"}))
    for strict in (
        GenerationOptions(max_output_tokens=9, no_repeat_ngram_size=3),
        GenerationOptions(max_output_tokens=9, repetition_penalty=1.2),
    ):
        cured, stubborn = engine.generate(engine.tokenize(["دور", "عناد"]), strict)
        assert cured.text == transliterate("دور")
        assert len(stubborn.tokens) == 9


def test_a_call_waits_in_its_worker_thread(make: Callable[..., ScriptedEngine]) -> None:
    """`before` blocks the call that it belongs to, and sees its batch and options."""
    gate, seen = Event(), []

    def wait(call: Call) -> None:
        seen.append(call)
        assert gate.wait(10)

    engine = make(before=wait)
    tokens = engine.tokenize(["سلام"])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.generate, tokens, OPTIONS)
        assert not running.done()
        gate.set()
        assert running.result(10)[0].text == transliterate("سلام")
    assert seen == [Call(tuple(tokens), OPTIONS)]


def test_calls_are_remembered_in_order(make: Callable[..., ScriptedEngine]) -> None:
    """Batches and options of every call can be asserted on, failed ones too."""
    engine = make(poison=frozenset({"سم"}))
    run(engine, "سلام")
    with pytest.raises(EngineError):
        run(engine, "سم", "مرحبا")
    assert [len(call.batch) for call in engine.calls] == [1, 2]
    assert engine.calls[0] == Call(tuple(engine.tokenize(["سلام"])), OPTIONS)


def test_limits_and_targets_are_those_of_the_manifest(
    make: Callable[..., ScriptedEngine],
) -> None:
    """What a real engine refuses before it runs, this one refuses too."""
    engine = make()
    assert run(engine, "سلام", options=GenerationOptions(max_output_tokens=9, target_token=ENGLISH))
    with pytest.raises(EngineInputError, match="64"):
        run(engine, "سلام " * 64)
    with pytest.raises(EngineInputError, match=GERMAN):
        run(engine, "سلام", options=GenerationOptions(target_token=GERMAN))
    with pytest.raises(EngineInputError, match="surrogate"):
        engine.tokenize(["\udc00"])


def test_a_closed_engine_refuses(make: Callable[..., ScriptedEngine]) -> None:
    """As a real one does."""
    engine = make()
    tokens = engine.tokenize(["سلام"])
    engine.warm_up()
    engine.close()
    for call in (
        engine.warm_up,
        lambda: engine.generate(tokens, OPTIONS),
        lambda: engine.score(tokens, [()]),
    ):
        with pytest.raises(EngineError, match="closed"):
            call()
