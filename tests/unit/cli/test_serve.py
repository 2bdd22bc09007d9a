"""What `khulasa-server serve` says and returns when it cannot start."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
import structlog
from typer.testing import CliRunner

from khulasa_server.cli import app
from khulasa_server.observability import logs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from typer.testing import Result


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `serve` with flags and environment, on free ports unless told otherwise."""
    monkeypatch.setattr(logs, "configure", lambda *_arguments, **_options: None)
    # Tests have variables of their own that begin so; a server would say that it knows none.
    for name in [name for name in os.environ if name.startswith("KHULASA_")]:
        monkeypatch.delenv(name)
    free = {"ENGINE": "scripted", "LISTEN": "127.0.0.1:0", "METRICS_LISTEN": "127.0.0.1:0"}

    def run(*flags: str, **environment: str) -> Result:
        variables = {f"KHULASA_{name}": value for name, value in {**free, **environment}.items()}
        return CliRunner().invoke(app, ["serve", *flags], env=variables)

    return run


def test_a_variable_that_is_no_setting_is_told(run: Callable[..., Result]) -> None:
    """A mistyped one would be ignored in silence; the warning names what may be meant."""
    with structlog.testing.capture_logs() as lines:
        run(QUEUE_SECOND="3", PORT_50051_TCP="tcp://10.0.0.1:50051", THREADS="nonsense")
    (line,) = [each for each in lines if each["event"] == "unknown_setting"]
    assert line["variable"] == "KHULASA_QUEUE_SECOND"
    assert line["meant"] == "KHULASA_QUEUE_SECONDS"


@pytest.fixture
def taken() -> Iterator[str]:
    """An address that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--no-such-flag"], "error parsing CLI: unrecognized arguments: --no-such-flag"),
        (["extra"], "error parsing CLI: unrecognized arguments: extra"),
        (["--listen"], "error parsing CLI: argument --listen: expected one argument"),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(
    run: Callable[..., Result], flags: list[str], said: str
) -> None:
    """One sentence on standard error, nothing on standard output, and status 2."""
    result = run(*flags)
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"{said}\n")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_CONTENTS", "0"),
        ("MAX_CONTENTS", "many"),
        ("MAX_CODE_POINTS", "99999999999"),
        ("LOG_LEVEL", "loud"),
        ("ENGINE", "steam"),
        ("CANARY", "lax"),
        ("REFLECTION", "maybe"),
        ("QUEUE_SECONDS", "nan"),
        ("DEFAULT_DEADLINE", "-1"),
        ("MAX_DEADLINE", "inf"),
        ("MAX_CONNECTION_AGE", "inf"),
        ("DRAIN_DELAY", "-0.1"),
        ("CACHE_BYTES", "-1"),
        ("LISTEN", "nowhere"),
        ("LISTEN", "127.0.0.1:65536"),
        ("METRICS_LISTEN", "9464"),
        ("THREADS", "2"),
        ("THREADS", "999x9"),
        ("REQUIRED_SERVICES", "NoService"),
        ("MODELS", "/no/such/bundle"),
        ("MODELS", "demo-marian-ar-en, demo-marian-ar-en"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(
    run: Callable[..., Result], name: str, value: str
) -> None:
    """Status 2, and one line that begins with the variable, whoever found it."""
    result = run(**{name: value})
    assert result.exit_code == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"KHULASA_{name}")


def test_a_flag_wins_over_its_variable(run: Callable[..., Result]) -> None:
    """What is wrong with the flag is said although the variable is right."""
    result = run("--max-contents", "-3", MAX_CONTENTS="3")
    assert result.exit_code == 2
    assert "KHULASA_MAX_CONTENTS (--max-contents)" in result.stderr


def test_every_wrong_setting_is_named(run: Callable[..., Result]) -> None:
    """Two mistakes are two lines, so that nobody has to start twice to learn of both."""
    result = run(MAX_CONTENTS="0", LOG_LEVEL="loud")
    named = {line.partition(" ")[0] for line in result.stderr.splitlines()}
    assert named == {"KHULASA_MAX_CONTENTS", "KHULASA_LOG_LEVEL"}


def test_a_bundle_that_cannot_be_read_is_named(run: Callable[..., Result], tmp_path: Path) -> None:
    """A directory without a manifest, or with a broken one, is a wrong setting too."""
    for content in (None, "{", '{"format": 99}'):
        if content is not None:
            (tmp_path / "manifest.json").write_text(content)
        result = run(MODELS=str(tmp_path))
        assert result.exit_code == 2
        (line,) = result.stderr.splitlines()
        assert line.startswith("KHULASA_MODELS: ")
        assert str(tmp_path) in line


@pytest.mark.parametrize("name", ["LISTEN", "METRICS_LISTEN"])
def test_a_taken_port_is_a_start_up_error(
    run: Callable[..., Result], taken: str, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Status 1, one sentence with the address, and not a line from gRPC's own library."""
    result = run(**{name: taken})
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"cannot listen on {taken}: Address already in use")
    assert "add_port" not in capfd.readouterr().err


def test_help_lists_every_setting(run: Callable[..., Result]) -> None:
    """`serve --help` shows each flag with what it means."""
    result = run("--help")
    assert result.exit_code == 0
    for flag in ("--listen", "--max-code-points", "--no-reflection", "--otlp-endpoint"):
        assert flag in result.stdout
    assert "Address of the gRPC port" in result.stdout
