# ruff: noqa: ANN401 - fixtures of conftest.py have types that cannot be imported from there
"""The command line, against a server that does as it is told."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from khulasa.v1 import translation_pb2
from khulasa_client.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Run = Callable[..., "Done"]


class Done(NamedTuple):
    """What came of a command."""

    status: int
    out: str
    err: str


@pytest.fixture
def run(
    server: Any, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Run:
    """Runs `khulasa` on the running server."""

    def command(*arguments: str | Path, stdin: bytes = b"") -> Done:
        monkeypatch.setenv("KHULASA_ADDRESS", server.address)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        monkeypatch.setattr(sys, "argv", ["khulasa", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capfdbinary.readouterr()
        status = caught.value.code
        assert status is None or isinstance(status, int)
        return Done(status or 0, captured.out.decode(), captured.err.decode())

    return command


def write_lines(path: Path, *records: object) -> Path:
    """A JSONL file."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What is in one."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_translate_stdin_and_file(run: Run, tmp_path: Path) -> None:
    """Text in, its translation out, and nothing else."""
    file = tmp_path / "text"
    file.write_bytes("\ufeffmarhaban عالم\n".encode())
    assert run("translate", stdin=b"x") == Done(0, "X\n", "")
    assert run("translate", "-", stdin=b"x\n") == Done(0, "X\n", "")
    assert run("translate", file) == Done(0, "MARHABAN عالم\n", "")


def test_options_reach_the_server(run: Run, script: Any) -> None:
    """What is asked for is sent."""
    run("translate", "--to", "de", "--from", "fa", "--model", "m", "--timeout", "7", stdin=b"x")
    run("summarize", "--strategy", "hierarchical", "--from", "fa", stdin=b"x")
    translate, summarize = script.seen
    assert (translate.request.target_language_code, translate.request.source_language_code) == (
        "de",
        "fa",
    )
    assert translate.request.model == "m"
    assert translate.remaining < 8
    assert (summarize.request.long_document_strategy, summarize.request.language_code) == (2, "fa")


def test_json(run: Run) -> None:
    """Everything the answer says is one object."""
    done = run("translate", "--json", stdin=b"x")
    value = json.loads(done.out)
    assert (value["text"], value["segments"][0]["source"]) == ("X", {"start": 0, "end": 1})
    assert value["segments"][0]["outcome"] == "TRANSLATED"
    assert json.loads(run("summarize", "--json", stdin=b"x").out)["coverage"] == 1.0
    assert "عالم" in run("translate", "--json", stdin="عالم".encode()).out


def test_stream(run: Run) -> None:
    """Segments are printed as they are, in JSON one a line with the summary last."""
    assert run("translate", "--stream", stdin=b"one two").out == "ONE TWO \n"
    lines = run("translate", "--stream", "--json", stdin=b"one two").out.splitlines()
    assert [json.loads(line).get("text") for line in lines] == ["ONE ", "TWO ", None]
    assert json.loads(lines[-1])["usage"]["code_points"] == 7


def test_summarize_with_translation(run: Run, script: Any) -> None:
    """The summary comes first; streamed, its translation is asked for after it is printed."""
    assert run("summarize", stdin=b"one two").out == "one\n"
    assert run("summarize", "--stream", "--to", "en", stdin=b"one two").out == "one\n\nONE \n"
    methods = [call.method for call in script.seen]
    assert methods == ["Summarize", "Summarize", "StreamTranslate"]
    assert script.seen[1].request.target_language_code == ""
    assert script.seen[2].request.source_language_code == "ar"


def test_models_and_health(run: Run) -> None:
    """One line for each model and each service; the status tells whether the server can answer."""
    assert [line.split("\t")[0] for line in run("models").out.splitlines()] == ["a", "b", "c"]
    assert json.loads(run("models", "--json").out.splitlines()[0])["name"] == "a"
    done = run("health")
    assert done.status == 0
    assert done.out.splitlines()[0].split() == ["SERVING", "all", "required", "services"]
    assert json.loads(run("health", "--json").out)["khulasa.v1.ModelService"] == "NOT_SERVING"


def one_line(done: Done, *words: str) -> None:
    """The command failed and said why in one line, without a traceback."""
    assert done.status != 0
    assert done.out == ""
    assert done.err.startswith("khulasa: ")
    assert done.err.count("\n") == 1
    for word in words:
        assert word in done.err


def test_failures_are_one_sentence(run: Run, script: Any, failing: Any, tmp_path: Path) -> None:
    """Whatever goes wrong is one line on stderr and a status that is not 0."""
    script.then("Translate", failing("INVALID_ARGUMENT", "TEXT_EMPTY"))
    one_line(run("translate"), "TEXT_EMPTY", "(request from-the-server)")
    one_line(run("translate", tmp_path / "none"), "No such file")
    one_line(run("translate", tmp_path), "Is a directory")
    one_line(
        run("translate", stdin=b"ab\xff"), "TEXT_INVALID", "stdin is not UTF-8: byte 0xff at 2"
    )
    one_line(run("translate", "--token-file", tmp_path / "none"), "without TLS")
    one_line(run("translate", "--tls-ca", tmp_path / "none"), "No such file")
    one_line(
        run("translate", "--timeout", "5", "--address", "localhost:1"), "cannot reach localhost:1"
    )


def test_usage_errors(run: Run) -> None:
    """A mistake in the options is told with how to get help."""
    done = run("translate", "--timeout", "0")
    assert done.status == 2
    assert "--timeout" in done.err


def test_bulk(run: Run, tmp_path: Path) -> None:
    """Results keep the ids as they are written, numbers too, and nothing fails."""
    source = write_lines(
        tmp_path / "in.jsonl",
        {"id": "a", "content": "x"},
        {"id": 7, "text": "عالم"},
        "",
        {"id": 1.5, "content": "z", "more": True},
    )
    target = tmp_path / "out.jsonl"
    done = run("bulk", "translate", source, target)
    assert (done.status, done.out, done.err) == (0, "", "3 translated, 0 failed\n")
    found = {json.dumps(line["id"]): line["text"] for line in read_lines(target)}
    assert found == {'"a"': "X", "7": "عالم", "1.5": "Z"}
    assert "عالم" in target.read_text("utf-8")
    assert not (tmp_path / "out.errors.jsonl").exists()


def test_bulk_summarize(run: Run, tmp_path: Path) -> None:
    """The same for summaries."""
    source = write_lines(tmp_path / "in.jsonl", {"id": "a", "content": "one two"})
    assert run("bulk", "summarize", source, tmp_path / "out").err == "1 summarized, 0 failed\n"
    assert read_lines(tmp_path / "out")[0]["text"] == "one"


def test_bulk_failures_have_a_file(run: Run, script: Any, status: Any, tmp_path: Path) -> None:
    """Each failure is written with its id and reason; the rest is done, and the status tells."""

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for item in items:
            error = status("INVALID_ARGUMENT", "TEXT_TOO_LONG")
            yield translation_pb2.BulkTranslateResponse(id=item.id, error=error)

    script.then("BulkTranslate", behaviour)
    source = write_lines(tmp_path / "in.jsonl", {"id": 7, "content": "x"})
    done = run("bulk", "translate", source, tmp_path / "out.jsonl")
    assert done.status == 1
    assert "1 failures are in" in done.err
    [failure] = read_lines(tmp_path / "out.errors.jsonl")
    assert (failure["id"], failure["code"], failure["reason"]) == (
        7,
        "INVALID_ARGUMENT",
        "TEXT_TOO_LONG",
    )
    assert failure["metadata"] == {"limit": "7"}


def test_bulk_failures_are_tried_again(run: Run, script: Any, status: Any, tmp_path: Path) -> None:
    """The same command again does only what has no result, and forgets failures that passed."""

    def behaviour(items: Iterable[Any], _context: Any) -> Iterator[Any]:
        for item in items:
            error = status("INTERNAL", "INTERNAL")
            yield translation_pb2.BulkTranslateResponse(id=item.id, error=error)

    source = write_lines(tmp_path / "in.jsonl", {"id": "a", "content": "x"})
    target = tmp_path / "out.jsonl"
    script.then("BulkTranslate", behaviour)
    assert run("bulk", "translate", source, target).status == 1
    assert run("bulk", "translate", source, target).err == "1 translated, 0 failed\n"
    assert not (tmp_path / "out.errors.jsonl").exists()
    assert run("bulk", "translate", source, target).err == "0 translated, 1 before, 0 failed\n"
    assert len(script.seen) == 2
    assert len(read_lines(target)) == 1


def test_bulk_lines_that_cannot_be_used(run: Run, tmp_path: Path) -> None:
    """Every unusable line is told with its number; the others are done."""
    source = tmp_path / "in.jsonl"
    source.write_bytes(
        b'{"id": "a", "content": "x"}\n'
        b"not json\n"
        b'{"content": "no id"}\n'
        b'{"id": "no text"}\n'
        b'{"id": true, "content": "x"}\n'
        b'{"id": "b", "content": "\xff"}\n'
        b'{"id": "s", "content": "ab\\ud83dc"}\n'
        b'{"id": "\\ud83d", "content": "x"}\n'
        b'{"id": "a", "content": "again"}\n'
        b"[1]\n" + b"[" * 100_000 + b"\n"
    )
    done = run("bulk", "translate", source, tmp_path / "out.jsonl")
    assert done.status == 1
    assert "1 translated, 10 failed" in done.err
    failures = read_lines(tmp_path / "out.errors.jsonl")
    assert {failure.get("line") for failure in failures} == {None, 2, 3, 4, 5, 6, 9, 10, 11}
    reasons = {failure["id"]: failure["reason"] for failure in failures if "line" not in failure}
    assert reasons == {"s": "TEXT_INVALID", "\ud83d": "TEXT_INVALID"}
    assert "unpaired surrogate U+D83D at code point 2" in json.dumps(failures)
    assert [line["text"] for line in read_lines(tmp_path / "out.jsonl")] == ["X"]


def test_bulk_goes_on_after_half_a_line(run: Run, script: Any, tmp_path: Path) -> None:
    """What was being written when the machine stopped is done again, the rest is not."""
    source = write_lines(
        tmp_path / "in.jsonl", {"id": "a", "content": "x"}, {"id": "b", "content": "y"}
    )
    target = tmp_path / "out.jsonl"
    target.write_text('{"id": "a", "text": "X"}\n{"id": "b", "te', "utf-8")
    assert run("bulk", "translate", source, target).err == "1 translated, 1 before, 0 failed\n"
    assert [line["id"] for line in read_lines(target)] == ["a", "b"]
    assert len(script.seen) == 1


def test_bulk_protects_files(run: Run, tmp_path: Path) -> None:
    """A file that does not hold results is not continued, and the input is not overwritten."""
    source = write_lines(tmp_path / "in.jsonl", {"id": "a", "content": "x"})
    other = write_lines(tmp_path / "other", "something else")
    one_line(run("bulk", "translate", source, other), "does not hold results")
    assert other.read_text() == "something else\n"
    one_line(run("bulk", "translate", source, source), "is the input")
    one_line(run("bulk", "translate", tmp_path / "none", tmp_path / "out"), "No such file")
    one_line(run("bulk", "translate", source, tmp_path / "no" / "out"), "No such file")


def test_bulk_stops_when_the_stream_is_refused(
    run: Run, script: Any, failing: Any, tmp_path: Path
) -> None:
    """A refused stream is one sentence, and what is done stays done."""
    script.then("BulkTranslate", failing("UNAUTHENTICATED", "TOKEN_INVALID"))
    source = write_lines(tmp_path / "in.jsonl", {"id": "a", "content": "x"})
    one_line(run("bulk", "translate", source, tmp_path / "out.jsonl"), "TOKEN_INVALID")
    assert (tmp_path / "out.jsonl").read_text() == ""


def test_terminal_gets_a_progress_bar(server: Any, tmp_path: Path) -> None:
    """On a terminal a bar shows how far it is; the result is the same."""
    records = [{"id": str(number), "content": "x"} for number in range(30)]
    source = write_lines(tmp_path / "in.jsonl", *records)
    command = [sys.executable, "-m", "khulasa_client.cli", "bulk", "translate"]
    files = [str(source), str(tmp_path / "out.jsonl"), "--address", server.address]
    parent, child = pty.openpty()
    subprocess.run([*command, *files], stderr=child, check=True, env=environment())
    os.close(child)
    shown = read_terminal(parent)
    assert "30/30" in shown
    assert "30 translated, 0 failed" in shown
    assert len(read_lines(tmp_path / "out.jsonl")) == 30


def test_pipe_in_another_locale(server: Any) -> None:
    """The text is UTF-8 in a pipe whatever the locale says."""
    command = [sys.executable, "-m", "khulasa_client.cli", "translate", "--address", server.address]
    variables = environment() | {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        command, input="عالم".encode(), check=True, stdout=subprocess.PIPE, env=variables
    )
    assert done.stdout.decode() == "عالم\n"


def test_missing_extra_is_told() -> None:
    """Without the extra the command says how to get it."""
    lines = [
        "import sys",
        "sys.modules['click'] = None",
        "from khulasa_client.cli import main",
        "sys.exit(main())",
    ]
    script = "\n".join(lines)
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 1
    assert done.stderr == (
        "khulasa: the command needs its extra: pip install 'khulasa-client[cli]'\n"
    )


def environment() -> dict[str, str]:
    """This process's path for modules, for another."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def read_terminal(descriptor: int) -> str:
    """What was written to a terminal whose other side is closed."""
    shown = b""
    try:
        while block := os.read(descriptor, 65536):
            shown += block
    except OSError:  # how Linux says that the other side is closed
        pass
    finally:
        os.close(descriptor)
    return shown.decode()
