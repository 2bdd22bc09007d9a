"""The engine that serves, on tiny real models and on the embedded ones."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import ctranslate2
import pytest

from khulasa_server.bundles import store
from khulasa_server.engines.base import (
    END,
    EngineError,
    EngineInputError,
    Finish,
    Generation,
    GenerationOptions,
)
from khulasa_server.engines.ctranslate2 import CTranslate2Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from khulasa_server.bundles.store import Bundle
    from khulasa_server.engines.base import Tokens

FAMILIES = ("marian", "mt5")
GREEDY = GenerationOptions(beam_size=1, max_output_tokens=24)
ENGLISH = ">>eng<<"
GERMAN = ">>deu<<"


def golden_cases(golden: dict[str, Any]) -> list[tuple[GenerationOptions, list[dict[str, Any]]]]:
    """Options and recorded outputs."""
    return [(GenerationOptions(**case["options"]), case["outputs"]) for case in golden["cases"]]


def inputs_of(golden: dict[str, Any]) -> list[Tokens]:
    """Recorded inputs."""
    return [tuple(row) for row in golden["inputs"]]


@pytest.mark.parametrize("family", FAMILIES)
def test_outputs_are_what_transformers_wrote(
    family: str,
    bundle_of: Callable[[str], Bundle],
    golden_of: Callable[[str], dict[str, Any]],
    make_engine: Callable[..., CTranslate2Engine],
) -> None:
    """At every beam, penalty, ban and target: the same tokens, text and end; scores to 1e-4."""
    engine, golden = make_engine(bundle_of(family)), golden_of(family)
    for options, expected in golden_cases(golden):
        outputs = engine.generate(inputs_of(golden), options)
        assert [(output.text, list(output.tokens), output.finish.value) for output in outputs] == [
            (output["text"], output["tokens"], output["finish"]) for output in expected
        ]
        assert [output.score for output in outputs] == pytest.approx(
            [output["score"] for output in expected], abs=1e-4
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_goldens_hold_every_kind_of_output(
    family: str, golden_of: Callable[[str], dict[str, Any]]
) -> None:
    """What is compared above is ended and cut, empty and long, different by input."""
    outputs = [output for _, expected in golden_cases(golden_of(family)) for output in expected]
    assert {output["finish"] for output in outputs} == {"end", "length"}
    assert {0, 24} <= {len(output["tokens"]) for output in outputs}
    assert len({output["text"] for output in outputs}) > len(outputs) // 4


@pytest.fixture(params=FAMILIES)
def sample(
    request: pytest.FixtureRequest,
    bundle_of: Callable[[str], Bundle],
    golden_of: Callable[[str], dict[str, Any]],
    make_engine: Callable[..., CTranslate2Engine],
) -> tuple[CTranslate2Engine, list[Tokens]]:
    """An engine of each family, and inputs with something in them."""
    inputs = [tokens for tokens in inputs_of(golden_of(request.param)) if tokens != (END,)]
    return make_engine(bundle_of(request.param)), inputs


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 2.0])
@pytest.mark.parametrize("longest", [3, 24])
def test_score_is_the_mean_over_all_steps(
    sample: tuple[CTranslate2Engine, list[Tokens]], beam: int, length_penalty: float, longest: int
) -> None:
    """Whatever the penalty, it is the teacher-forced mean, the end counted where written."""
    engine, inputs = sample
    options = GenerationOptions(
        beam_size=beam, length_penalty=length_penalty, max_output_tokens=longest
    )
    outputs = engine.generate(inputs, options)
    rows = engine.score(inputs, [output.tokens for output in outputs])
    for output, row in zip(outputs, rows, strict=True):
        steps = row if output.finish is Finish.END else row[:-1]
        assert output.output_tokens == len(steps)
        assert output.score == pytest.approx(math.fsum(steps) / len(steps), abs=1e-4)


def test_bans_share_out_probability(sample: tuple[CTranslate2Engine, list[Tokens]]) -> None:
    """Under an n-gram ban no score is below the teacher-forced one, and no n-gram comes twice."""
    engine, inputs = sample
    options = GenerationOptions(no_repeat_ngram_size=2, max_output_tokens=24)
    outputs = engine.generate(inputs, options)
    rows = engine.score(inputs, [output.tokens for output in outputs])
    for output, row in zip(outputs, rows, strict=True):
        steps = row if output.finish is Finish.END else row[:-1]
        assert output.score >= math.fsum(steps) / len(steps) - 1e-4
        pairs = list(zip(output.tokens, output.tokens[1:], strict=False))
        assert len(pairs) == len(set(pairs))


@dataclass
class Recorder:
    """Stands where CTranslate2's translator would, and remembers how it was called."""

    settings: dict[str, Any]
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]]
    compute_type: str = "float32"

    def translate_batch(self, *arguments: Any, **options: Any) -> list[Any]:  # noqa: ANN401 - any call is recorded
        """Remember; then fail, since there is no output."""
        self.calls.append((arguments, options))
        raise RuntimeError("recorded")

    def score_batch(self, *arguments: Any, **options: Any) -> list[Any]:  # noqa: ANN401 - any call is recorded
        """Remember; then fail, since there are no scores."""
        self.calls.append((arguments, options))
        raise RuntimeError("recorded")


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """The translator of the next engine."""
    recorder = Recorder({}, [])

    def make(path: str, **settings: Any) -> Recorder:  # noqa: ANN401 - any call is recorded
        recorder.settings = {"model_path": path, **settings}
        return recorder

    monkeypatch.setattr(ctranslate2, "Translator", make)
    return recorder


def keywords(documentation: str) -> set[str]:
    """Names of the keyword arguments in the signature that pybind11 writes."""
    signature, _, _ = documentation.partition("->")
    return set(re.findall(r"(\w+): ", signature.partition("*, ")[2]))


def test_every_option_is_explicit(
    recorder: Recorder, bundle_of: Callable[[str], Bundle], translator_documentation: dict[str, str]
) -> None:
    """No default of CTranslate2 is relied on, nor one that a later version adds."""
    bundle = bundle_of("marian")
    engine = CTranslate2Engine(bundle.path, bundle.manifest, workers=2, threads=3)
    tokens = engine.tokenize(["سلام"])
    with pytest.raises(EngineError, match="recorded"):
        engine.generate(tokens, GenerationOptions(beam_size=3, max_output_tokens=7))
    with pytest.raises(EngineError, match="recorded"):
        engine.score(tokens, [()])
    (_, generating), (_, scoring) = recorder.calls
    assert generating.keys() == keywords(translator_documentation["translate_batch"])
    assert scoring.keys() == keywords(translator_documentation["score_batch"])
    assert keywords(translator_documentation["__init__"]) <= recorder.settings.keys()
    assert (recorder.settings["inter_threads"], recorder.settings["intra_threads"]) == (2, 3)


@pytest.fixture(scope="module")
def translator_documentation() -> dict[str, str]:
    """Signatures of the real translator, read before it is replaced."""
    methods = ("translate_batch", "score_batch", "__init__")
    return {name: str(getattr(ctranslate2.Translator, name).__doc__) for name in methods}


def test_too_long_an_input_is_refused_by_its_place(
    bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """At the model's last position it runs; one more token is an input error, and only that."""
    bundle = bundle_of("marian")
    engine, limit = make_engine(bundle), bundle.manifest.limits.max_input_tokens
    longest = (*["▁"] * (limit - 1), END)
    assert len(engine.generate([longest], GREEDY)) == 1
    with pytest.raises(EngineInputError, match=f"{limit + 1} tokens") as caught:
        engine.generate([longest, ("▁", *longest)], GREEDY)
    assert caught.value.index == 1
    targeted = GenerationOptions(beam_size=1, max_output_tokens=1, target_token=ENGLISH)
    with pytest.raises(EngineInputError, match=f"{limit + 1} tokens"):
        engine.generate([longest], targeted)


def test_too_long_an_output_is_refused(
    bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """Neither generation nor scoring reaches a position that the decoder lacks."""
    bundle = bundle_of("marian")
    engine, limit = make_engine(bundle), bundle.manifest.limits.max_output_tokens
    tokens = engine.tokenize(["سلام"])
    engine.generate(tokens, GenerationOptions(beam_size=1, max_output_tokens=limit))
    assert len(engine.score(tokens, [("▁",) * limit])[0]) == limit + 1
    with pytest.raises(EngineInputError, match="output tokens asked for"):
        engine.generate(tokens, GenerationOptions(max_output_tokens=limit + 1))
    with pytest.raises(EngineInputError, match="target of"):
        engine.score(tokens, [("▁",) * (limit + 1)])


def test_the_target_token_goes_before_the_source(
    bundle_of: Callable[[str], Bundle],
    golden_of: Callable[[str], dict[str, Any]],
    make_engine: Callable[..., CTranslate2Engine],
) -> None:
    """The option equals the token written out, changes outputs, and only known ones are taken."""
    bundle = bundle_of("marian")
    engine, inputs = make_engine(bundle), inputs_of(golden_of("marian"))
    inputs = [tokens for tokens in inputs if tokens != (END,)]
    english, french = (
        engine.generate(inputs, GenerationOptions(max_output_tokens=8, target_token=token))
        for token in bundle.manifest.target_tokens.values()
    )
    written_out = [(ENGLISH, *tokens) for tokens in inputs]
    plain = engine.generate(written_out, GenerationOptions(max_output_tokens=8))
    assert english == plain
    assert english != french
    with pytest.raises(EngineInputError, match=GERMAN):
        engine.generate(inputs, GenerationOptions(target_token=GERMAN))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_empty_text_has_an_empty_output(
    family: str, bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """Beside others and alone, with and without a target; the others do not move."""
    bundle = bundle_of(family)
    engine = make_engine(bundle)
    tokens = engine.tokenize(["", "سلام عليكم", " "])
    first, word, last = engine.generate(tokens, GREEDY)
    nothing = Generation(text="", tokens=(), score=0.0, finish=Finish.END)
    assert (first, last) == (nothing, nothing)
    assert word == engine.generate(tokens[1:2], GREEDY)[0]
    assert engine.generate([], GREEDY) == []
    for token in bundle.manifest.target_tokens.values():
        assert engine.generate([(END,)], replace(GREEDY, target_token=token)) == [nothing]


def test_unknown_pieces_are_one_token(
    bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """A piece outside the vocabulary, NUL included, is `<unk>` to the model."""
    engine = make_engine(bundle_of("marian"))
    told, unknown = ((("▁", piece, END)) for piece in ("𓀀\x00𓀁", "<unk>"))
    assert engine.generate([told], GREEDY) == engine.generate([unknown], GREEDY)
    assert engine.score([told], [("a",)]) == engine.score([unknown], [("a",)])


def test_concurrent_calls_give_what_each_gives_alone(
    bundle_of: Callable[[str], Bundle],
    golden_of: Callable[[str], dict[str, Any]],
    make_engine: Callable[..., CTranslate2Engine],
) -> None:
    """Eight threads on two workers mix nothing up."""
    engine, golden = make_engine(bundle_of("mt5"), workers=2), golden_of("mt5")
    batches = [(inputs_of(golden), options) for options, _ in golden_cases(golden)] * 4
    alone = [engine.generate(*batch) for batch in batches[: len(batches) // 4]] * 4
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda batch: engine.generate(*batch), batches))
    assert together == alone


def test_the_interpreter_runs_while_a_model_does(
    bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """Another thread gets its turn during one call: the model does not hold the lock."""
    engine = make_engine(bundle_of("mt5"))
    batch = [("▁", *tokens) for tokens in engine.tokenize(["سلام " * 20] * 64)]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.generate, batch, GenerationOptions(max_output_tokens=96))
        turns = 0
        while not wait([running], timeout=0.001).done:
            turns += 1
        assert len(running.result()) == len(batch)
    # Were the lock held, all of the call would be one turn.
    assert turns > 3


def test_close_refuses_later_calls_and_spares_running_ones(
    bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """A closed engine raises EngineError; closing twice is harmless."""
    engine = make_engine(bundle_of("mt5"))
    tokens = engine.tokenize(["سلام"] * 8)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(engine.generate, tokens, GREEDY)
        outputs = running.result()
        engine.close()
    engine.close()
    assert len(outputs) == 8
    with pytest.raises(EngineError, match="closed"):
        engine.generate(tokens, GREEDY)
    with pytest.raises(EngineError, match="closed"):
        engine.score(tokens, [()] * 8)


@pytest.mark.parametrize("family", FAMILIES)
def test_warm_up_stays_inside_the_limits(
    family: str, bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """It runs on every worker, and changes no output."""
    engine = make_engine(bundle_of(family), workers=2)
    tokens = engine.tokenize(["سلام عليكم"])
    before = engine.generate(tokens, GREEDY)
    engine.warm_up()
    assert engine.generate(tokens, GREEDY) == before


def test_a_broken_bundle_is_an_engine_error(
    bundle_of: Callable[[str], Bundle], tmp_path: Path, manifest_of: Callable[..., Manifest]
) -> None:
    """Missing tokenizer, missing model, damaged model: one error type, with the reason."""
    bundle = bundle_of("mt5")
    with pytest.raises(EngineError, match=re.escape("spiece.model")):
        CTranslate2Engine(tmp_path, bundle.manifest, workers=1, threads=1)
    (tmp_path / "spiece.model").write_bytes((bundle.path / "spiece.model").read_bytes())
    with pytest.raises(EngineError, match="cannot load"):
        CTranslate2Engine(tmp_path, bundle.manifest, workers=1, threads=1)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.bin").write_bytes(b"\x06\x00\x00\x00damaged")
    with pytest.raises(EngineError, match="cannot load"):
        CTranslate2Engine(tmp_path, manifest_of("mt5"), workers=1, threads=1)


def test_as_many_targets_as_inputs(
    bundle_of: Callable[[str], Bundle], make_engine: Callable[..., CTranslate2Engine]
) -> None:
    """Scoring needs a target for each input."""
    engine = make_engine(bundle_of("mt5"))
    with pytest.raises(ValueError, match="1 inputs, but 2 targets"):
        engine.score(engine.tokenize(["سلام"]), [(), ()])


def test_serving_needs_no_torch() -> None:
    """Loading and running a model imports neither torch nor transformers."""
    script = (
        "import sys; from khulasa_server.bundles import store;"
        "from khulasa_server.engines.loading import load;"
        "bundle = store.embedded()[0];"
        "engine = load('ctranslate2', bundle.path, bundle.manifest, 1, 1);"
        "engine.warm_up();"
        "print(sorted({'torch', 'transformers', 'google.protobuf', 'grpc'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


@pytest.fixture(scope="module")
def embedded() -> dict[str, CTranslate2Engine]:
    """The models that come with the package, by task."""
    return {
        str(bundle.manifest.task): CTranslate2Engine(
            bundle.path, bundle.manifest, workers=1, threads=1
        )
        for bundle in store.embedded()
    }


def translate(engine: CTranslate2Engine, texts: Sequence[str]) -> list[Generation]:
    """Beam 4, as served."""
    return engine.generate(engine.tokenize(texts), GenerationOptions(max_output_tokens=64))


def test_the_embedded_translator_translates(embedded: dict[str, CTranslate2Engine]) -> None:
    """Everyday sentences come out in English, in the order given."""
    outputs = translate(embedded["translate"], ["أين تقع المحطة؟", "أريد أن أشرب الماء."])
    assert "station" in outputs[0].text.lower()
    assert "want to drink" in outputs[1].text
    assert "water" in outputs[1].text
    assert all(output.finish is Finish.END for output in outputs)
    assert embedded["translate"].compute_type == "int8_float32"


def test_the_embedded_summarizer_writes_arabic(
    embedded: dict[str, CTranslate2Engine], arabic_lines: list[str]
) -> None:
    """The beginning of the article becomes an Arabic text of the asked-for length."""
    engine = embedded["summarize"]
    tokens = (*engine.tokenize([" ".join(arabic_lines)])[0][:127], END)
    (output,) = engine.generate([tokens], GenerationOptions(max_output_tokens=83))
    assert sum("\u0600" <= letter <= "\u06ff" for letter in output.text) > len(output.text) // 2
    assert output.output_tokens <= 83
