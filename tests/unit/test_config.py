"""Settings come from `KHULASA_*` and from flags, and are checked before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from pydantic import ValidationError

from khulasa_server.config import Settings, parse, unknown_variables

PROMISED: Final = {
    "LISTEN", "METRICS_LISTEN", "MODELS", "REQUIRED_SERVICES", "ENGINE", "THREADS", "CANARY",
    "MAX_CODE_POINTS", "MAX_REQUEST_CODE_POINTS", "MAX_CONTENTS", "MAX_MESSAGE_BYTES",
    "QUEUE_SECONDS", "BULK_QUEUE_SECONDS", "DEFAULT_DEADLINE", "MAX_DEADLINE", "CACHE_BYTES",
    "MAX_CONNECTIONS", "MAX_CONNECTION_AGE", "MAX_CONNECTION_AGE_GRACE", "DRAIN_DELAY",
    "DRAIN_GRACE", "TLS_CERT", "TLS_KEY", "TLS_CLIENT_CA", "TOKENS_FILE", "REFLECTION",
    "LOG_LEVEL", "OTLP_ENDPOINT",
}  # fmt: skip
"""What the documentation lists."""


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the settings is in the environment."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"KHULASA_{name.upper()}", raising=False)


def test_every_promised_setting_exists_and_is_described() -> None:
    """Each is a field with a description, and none has a name that Kubernetes injects."""
    names = {name.upper() for name in Settings.model_fields}
    assert names >= PROMISED
    assert all(field.description for field in Settings.model_fields.values())
    assert not names & {"PORT", "HOST"}
    assert not any(name.startswith("SERVICE_") for name in names)


def test_defaults_are_those_of_the_contract() -> None:
    """What is promised where nothing is set."""
    settings = parse([])
    assert (settings.listen, settings.metrics_listen) == ("[::]:50051", "[::]:9464")
    assert (settings.max_code_points, settings.max_request_code_points) == (30_000, 100_000)
    assert (settings.max_contents, settings.max_message_bytes) == (128, 4 * 1024 * 1024)
    assert (settings.queue_seconds, settings.bulk_queue_seconds) == (10, 60)
    assert (settings.default_deadline, settings.max_deadline) == (60, 300)
    assert (settings.models, settings.required_services) == ((), ())
    assert settings.reflection


@pytest.mark.parametrize(
    ("given", "models"),
    [("a", ("a",)), ("a,b", ("a", "b")), (" a , b ,", ("a", "b")), (" ", ()), ("", ())],
)
def test_lists_are_separated_by_commas(
    monkeypatch: pytest.MonkeyPatch, given: str, models: tuple[str, ...]
) -> None:
    """In the environment and in a flag alike; blanks are nothing."""
    assert parse([f"--models={given}"]).models == models
    monkeypatch.setenv("KHULASA_MODELS", given)
    assert parse([]).models == models


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line is closer to the operator."""
    monkeypatch.setenv("KHULASA_MAX_CONTENTS", "5")
    assert parse([]).max_contents == 5
    assert parse(["--max-contents", "7"]).max_contents == 7


def test_switches_have_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    """`KHULASA_REFLECTION=false` and `--no-reflection` say the same."""
    assert not parse(["--no-reflection"]).reflection
    monkeypatch.setenv("KHULASA_REFLECTION", "false")
    assert not parse([]).reflection
    assert parse(["--reflection"]).reflection


def test_an_empty_variable_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chart may leave a variable empty."""
    monkeypatch.setenv("KHULASA_TLS_CERT", "")
    monkeypatch.setenv("KHULASA_THREADS", "")
    assert parse([]).tls_cert is None
    assert parse([]).threads == "auto"
    monkeypatch.setenv("KHULASA_TLS_CERT", "/certs/tls.crt")
    assert parse([]).tls_cert == Path("/certs/tls.crt")


@pytest.mark.parametrize("value", [0, -1, 2**31])
@pytest.mark.parametrize(
    "name", ["max_code_points", "max_request_code_points", "max_contents", "max_message_bytes"]
)
def test_sizes_fit_the_contract(name: str, value: int) -> None:
    """A limit is at least 1 and fits the int32 that tells it."""
    with pytest.raises(ValidationError):
        Settings(**{name: value})  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf"), 1e12])
@pytest.mark.parametrize("name", ["max_deadline", "queue_seconds", "max_connection_age"])
def test_durations_are_finite(name: str, value: float) -> None:
    """A duration is more than 0 and can be counted in milliseconds."""
    with pytest.raises(ValidationError):
        Settings(**{name: value})  # type: ignore[arg-type]  # wrong on purpose


def test_settings_cannot_be_changed() -> None:
    """What was said at the start holds until the end."""
    with pytest.raises(ValidationError):
        Settings().listen = "elsewhere"


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("KHULASA_QUEUE_SECOND", "KHULASA_QUEUE_SECONDS"),
        ("KHULASA_THREAD", "KHULASA_THREADS"),
        ("KHULASA_MAX_CODEPOINTS", "KHULASA_MAX_CODE_POINTS"),
        ("KHULASA_TLS_CRT", "KHULASA_TLS_CERT"),
        ("KHULASA_XYZZY", ""),
    ],
)
def test_a_mistyped_variable_is_told_with_what_may_be_meant(variable: str, meant: str) -> None:
    """It would be ignored in silence otherwise."""
    assert unknown_variables([variable, "PATH", "KHULASA_THREADS"]) == {variable: meant}


@pytest.mark.parametrize(
    "variable",
    [
        "KHULASA_ADDRESS",
        "KHULASA_PORT",
        "KHULASA_PORT_50051_TCP",
        "KHULASA_PORT_50051_TCP_ADDR",
        "KHULASA_PORT_50051_TCP_PROTO",
        "KHULASA_SERVICE_HOST",
        "KHULASA_SERVICE_PORT",
        "KHULASA_SERVICE_PORT_GRPC",
        "KHULASA_HEADLESS_SERVICE_HOST",
        "KHULASA_HEADLESS_PORT_9464_TCP_PORT",
    ],
)
def test_what_kubernetes_or_the_client_sets_is_no_mistake(variable: str) -> None:
    """A Service called khulasa gives every pod of its namespace such variables."""
    assert unknown_variables([variable]) == {}
