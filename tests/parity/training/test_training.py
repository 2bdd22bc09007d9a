"""What is trained is what is served: a tiny model of each family learns, goes on and is built."""

from __future__ import annotations

import itertools
import json
import random
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
import transformers

from khulasa_server.bundles.building import shapes, synthesize
from khulasa_server.bundles.building.build import Recorder, build
from khulasa_server.bundles.building.describe import BuildOptions, Origin
from khulasa_server.engines.ctranslate2 import CTranslate2Engine
from khulasa_server.engines.proving import GREEDY
from training import alignments, sources
from training.alignments import NONE
from training.loop import CHECKPOINT, LOG, Plan, Run
from training.sources import Pair
from training.summarizer import Summarizer
from training.translator import Pieces, Translator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from khulasa_server.bundles.manifest import Manifest
    from training.batches import Linked

MARIAN = shapes.marian_shape(
    depth=32, layers=2, heads=4, inner=64, pieces_a_side=300, vocabulary=560
)
MT5 = shapes.mt5_shape(depth=32, head=12, layers=2, heads=4, inner=64, pieces_known=700, rows=712)
ROWS = [("نعم.", "Yes."), ("لا أدري.", "I do not know."), ("هذا كتاب.", "This is a book.")]
LINKS = [(0,), (0, 0, 0, 1), (0, NONE, NONE, 1), (0,)]
"""Of these rows, and of the one that is distilled."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with a few sentences of every kind."""
    directory = tmp_path / "data"
    directory.mkdir()
    pairs = "".join(f"tatoeba\t3\t{arabic}\t{english}\n" for arabic, english in ROWS)
    (directory / sources.PAIRS).write_text(pairs, "utf-8")
    (directory / sources.DISTILLED).write_text("قلم\tPen\n", "utf-8")
    (directory / sources.DOCUMENTS).write_text("وصل الوزير اليوم.\nقال إنه يدرس.\n" * 20, "utf-8")
    return directory


@pytest.fixture
def translator(tmp_path: Path, data: Path) -> Translator:
    """A tiny one that knows nothing yet, with its own training data as development set."""
    base, dev = tmp_path / "base", tmp_path / "dev.tsv"
    base.mkdir()
    synthesize.write(base, MARIAN, seed=1, name="tiny")
    dev.write_text("".join(f"{arabic}\t{english}\n" for arabic, english in ROWS), "utf-8")
    links = tmp_path / "links"
    alignments.write(links, LINKS)
    return Translator(base, data, [dev], links=links, dev_lines=3, dropout=0.0, budget=400)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Twenty quick steps, each of them logged."""
    output = tmp_path / "output"
    return Plan(output, warmup=5, peak=1e-2, last=20, anneal=10, seed=3, average=0.5, log_steps=1)


def log_of(plan: Plan) -> list[dict[str, Any]]:
    """Lines of a run's log."""
    return [json.loads(line) for line in (plan.output / LOG).read_text("utf-8").splitlines()]


class Stopped:
    """A task that is told to stop during its batches.

    Args:
        task: what is learned.
        after: batches before the signal.
    """

    def __init__(self, task: Translator, after: int) -> None:
        self._task, self._after = task, after

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the task has
        return getattr(self._task, name)

    def batches(self, rng: Any, step: int) -> Iterator[Sequence[Linked]]:  # noqa: ANN401 - as the task's
        """Those of the task, with SIGTERM among them."""
        for number, batch in enumerate(self._task.batches(rng, step)):
            if number == self._after:
                signal.raise_signal(signal.SIGTERM)
            yield batch


def test_translator_learns_and_tells_its_scores(translator: Translator, plan: Plan) -> None:
    """The loss falls, the last rate is near zero, and scores come with their signatures."""
    Run(translator, plan).go()
    *steps, scores = log_of(plan)
    assert [line["step"] for line in steps] == list(range(1, 21))
    assert steps[-1]["loss"] < 0.8 * steps[0]["loss"]
    assert steps[-2]["rate"] == pytest.approx(1e-3)
    assert scores["step"] == 20
    assert scores["chrF2 signature"].startswith("nrefs:1")
    assert {"dev BLEU", "dev chrF2", "dev first"} <= scores.keys()


def test_translator_learns_where_to_look(translator: Translator, plan: Plan) -> None:
    """The heads that are taught look more at the word which is being translated than before."""
    rng = random.Random(1)  # noqa: S311 - repeatable
    rows = [row for batch in itertools.islice(translator.batches(rng, 0), 9) for row in batch]
    assert any(link != NONE for *_, links in rows for link in links)
    before = looking(translator, rows)
    Run(translator, replace(plan, last=100, anneal=50)).go()
    assert looking(translator, rows) < 0.95 * before


def looking(translator: Translator, rows: Sequence[Linked]) -> float:
    """What the loss holds for looking elsewhere: what linked rows cost more than unlinked ones."""
    unlinked: list[Linked] = [
        (read, written, places, [NONE] * len(links)) for read, written, places, links in rows
    ]
    translator.model.eval()
    with torch.inference_mode():
        return float(translator.loss(rows) - translator.loss(unlinked))


def test_words_that_occur_together_are_linked() -> None:
    """Of a few sentences that share words, every word finds its translation."""
    arabic, english = ["كتاب", "قلم", "باب", "بيت"], ["book", "pen", "door", "house"]
    chosen = list(itertools.permutations(range(4), 2)) * 20
    pairs = [Pair("x", f"{arabic[a]} {arabic[b]}", f"{english[b]} {english[a]}") for a, b in chosen]
    links = alignments.align(pairs)
    assert len(links) == len(pairs)
    assert sum(link == (1, 0) for link in links) > 0.95 * len(pairs)


def test_stopped_run_goes_on_where_it_was(translator: Translator, plan: Plan) -> None:
    """SIGTERM saves; the next run continues weights, optimizer, average and step."""
    interrupted = Run(Stopped(translator, after=7), plan)
    interrupted.go()
    assert interrupted.step == 7
    assert not (plan.output / CHECKPOINT).exists()
    before = {name: value.clone() for name, value in translator.model.state_dict().items()}
    with torch.no_grad():
        translator.model.model.shared.weight.normal_()
    resumed = Run(translator, replace(plan, last=9))
    after = translator.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    resumed.go()
    assert (resumed.first, resumed.step) == (0, 9)
    assert [line["step"] for line in log_of(plan) if "loss" in line] == list(range(1, 10))
    assert (plan.output / CHECKPOINT / "model.safetensors").exists()


def test_finished_run_does_nothing_more(translator: Translator, plan: Plan) -> None:
    """Started again, it evaluates and exports, and learns nothing."""
    Run(translator, replace(plan, last=2)).go()
    before = {name: value.clone() for name, value in translator.model.state_dict().items()}
    Run(translator, replace(plan, last=2)).go()
    after = translator.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_exported_translator_is_what_serving_expects(
    translator: Translator, plan: Plan, tmp_path: Path
) -> None:
    """float16, start row at zero, only English pieces written, and a bundle can be built of it."""
    Run(translator, plan).go()
    checkpoint = plan.output / CHECKPOINT
    weights = safetensors.torch.load_file(checkpoint / "model.safetensors")
    assert "dropout" not in json.loads((checkpoint / "generation_config.json").read_text())
    assert {str(value.dtype) for value in weights.values()} == {"torch.float16"}
    model = transformers.MarianMTModel.from_pretrained(checkpoint, dtype=torch.float32)
    assert not model.model.shared.weight[model.config.pad_token_id].any()
    pieces = Pieces.of(checkpoint)
    read = torch.tensor([pieces.encode(pieces.source, "لا أدري.")])
    written = model.generate(input_ids=read, num_beams=1, max_new_tokens=12)[0, 1:].tolist()
    assert set(written) <= {*pieces.writable(), model.config.pad_token_id}
    assert _serves(checkpoint, tmp_path / "bundle", "لا أدري.")


def test_summarizer_learns_and_stays_untied(data: Path, plan: Plan, tmp_path: Path) -> None:
    """Its output layer is its own in the file and in the configuration, and a bundle is built."""
    base = tmp_path / "mt5"
    base.mkdir()
    synthesize.write(base, MT5, seed=1, name="tiny")
    task = Summarizer(base, data, dev_documents=2, dropout=0.0, budget=200)
    Run(task, replace(plan, last=6)).go()
    checkpoint = plan.output / CHECKPOINT
    *steps, scores = log_of(plan)
    assert steps[-1]["loss"] < steps[0]["loss"]
    assert 0 <= scores["exact copies at 240"] <= 1
    weights = safetensors.torch.load_file(checkpoint / "model.safetensors")
    assert not torch.equal(weights["lm_head.weight"], weights["shared.weight"])
    assert json.loads((checkpoint / "config.json").read_text())["tie_word_embeddings"] is False
    assert _serves(checkpoint, tmp_path / "bundle", "وصل الوزير اليوم.")


def _engine(directory: Path, manifest: Manifest) -> CTranslate2Engine:
    return CTranslate2Engine(directory, manifest, workers=1, threads=1)


def _serves(checkpoint: Path, output: Path, text: str) -> bool:
    """A bundle of a checkpoint answers a text."""
    bundle = build(
        Origin(checkpoint, "tiny"),
        output,
        BuildOptions(license="CC-BY-SA-4.0", languages=("ar",)),
        Recorder(_engine, GREEDY),
    )
    engine = CTranslate2Engine(bundle.model_directory.parent, bundle.manifest, workers=1, threads=1)
    return len(engine.generate(engine.tokenize([text]), GREEDY)) == 1
