"""Every setting of the server: a `KHULASA_*` variable and a flag of the same name."""

from __future__ import annotations

import re
from collections.abc import (  # noqa: TC003 - pydantic reads annotations at run time
    Iterable,
    Sequence,
)
from difflib import get_close_matches
from pathlib import Path  # noqa: TC003 - pydantic reads annotations at run time
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, NonNegativeInt
from pydantic_settings import BaseSettings, CliApp, NoDecode, SettingsConfigDict


def _split(value: object) -> object:
    """`a, b` as ("a", "b"); what is no string is left to pydantic."""
    if isinstance(value, str):
        return tuple(filter(None, map(str.strip, value.split(","))))
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""Comma-separated in the environment and on the command line."""


Seconds = Annotated[float, Field(gt=0, le=1_000_000)]
"""More than 0, and so little that gRPC can count it in milliseconds."""
Delay = Annotated[float, Field(ge=0, le=1_000_000)]
"""0 or more."""
Count = Annotated[int, Field(gt=0, le=2**31 - 1)]
"""What fits the integers of the contract and of gRPC."""


class Settings(BaseSettings):
    """What an operator chooses; durations are seconds, sizes are bytes or code points."""

    model_config = SettingsConfigDict(
        env_prefix="KHULASA_",
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        cli_prog_name="khulasa-server serve",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        # A usage of forty flags would hide the one sentence that says what is wrong.
        cli_exit_on_error=False,
    )

    listen: str = "[::]:50051"
    """Address of the gRPC port; port 0 picks a free one."""
    metrics_listen: str = "[::]:9464"
    """Address of the HTTP port with /metrics, /livez and /readyz; port 0 picks a free one."""
    models: Names = ()
    """Bundle directories or names of embedded ones, comma-separated; empty: all embedded ones."""
    required_services: Names = ()
    """Services that readiness waits for; empty: those with a configured model."""
    engine: Literal["ctranslate2", "transformers", "scripted"] = "ctranslate2"
    """Which implementation runs the models."""
    threads: str = "auto"
    """Workers and threads of each as `2x1`, or `auto`: one worker of one thread a usable core,
    until a short calibration, once nobody calls, finds better."""
    calibration_file: Path | None = None
    """File that keeps what calibration found; empty: it is found anew at each start."""
    canary: Literal["tolerant", "strict"] = "tolerant"
    """`strict` also refuses a bundle whose golden outputs differ in their text."""
    max_code_points: Count = 30_000
    """Most Unicode code points of one text."""
    max_request_code_points: Count = 100_000
    """Most Unicode code points of a request in total."""
    max_contents: Count = 128
    """Most contents of a Translate request."""
    max_message_bytes: Count = 4 * 1024 * 1024
    """Largest message accepted or sent."""
    queue_seconds: Seconds = 10.0
    """Most estimated seconds of interactive work that may wait."""
    bulk_queue_seconds: Seconds = 60.0
    """Most estimated seconds of bulk work that may wait."""
    default_deadline: Seconds = 60.0
    """Seconds given to a call that brings no deadline."""
    max_deadline: Seconds = 300.0
    """Longest deadline; a later one is brought forward to it."""
    stall_seconds: Seconds = 60.0
    """Seconds, beyond ten times its predicted run time, after which an engine call has hung."""
    cache_bytes: NonNegativeInt = 64 * 1024 * 1024
    """Most bytes of cached segment outputs; 0 turns the cache off."""
    max_connections: Count = 1_000
    """Most connections at once."""
    max_connection_age: Seconds = 300.0
    """Seconds after which a connection is asked to reconnect, so that load spreads to new pods."""
    max_connection_age_grace: Seconds = 300.0
    """Seconds that calls on such a connection may still take."""
    drain_delay: Delay = 5.0
    """Seconds between NOT_SERVING and closing the listener, so that balancers notice."""
    drain_grace: Seconds = 300.0
    """Seconds that calls in flight may still take."""
    tls_cert: Path | None = None
    """PEM certificate chain; with `tls_key` turns TLS on. All these files may be replaced."""
    tls_key: Path | None = None
    """PEM private key of `tls_cert`."""
    tls_client_ca: Path | None = None
    """PEM certificates that clients must be signed by: turns mutual TLS on."""
    tokens_file: Path | None = None
    """File with a hash of each bearer token that is accepted: `khulasa-server tokens --help`."""
    insecure_tokens: bool = False
    """Accept tokens without TLS on addresses that others reach, where a mesh encrypts the way."""
    reflection: bool = True
    """Serve gRPC reflection."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    otlp_endpoint: str = Field(default="", repr=False)
    """Where traces go; empty: nowhere."""


_PREFIX = "KHULASA_"
_INJECTED = re.compile(
    r"(?:^|_)(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)$"
)
"""What Kubernetes sets in each pod for a Service called `khulasa` or `khulasa-…`."""


def unknown_variables(names: Iterable[str]) -> dict[str, str]:
    """Variables that look like a setting and are none → the setting that may be meant, or empty.

    Those that Kubernetes injects, and the client's, are left out.
    """
    settings = [name.upper() for name in Settings.model_fields]
    given = {name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX)}
    strangers = sorted(given - {*settings, "ADDRESS"})
    return {
        _PREFIX + name: "".join(_PREFIX + near for near in get_close_matches(name, settings, 1))
        for name in strangers
        if not _INJECTED.search(name)
    }


def parse(arguments: Sequence[str]) -> Settings:
    """Settings from command-line flags, which win over the environment.

    Raises:
        ValidationError: a value is out of range.
        SettingsError: a flag does not exist, or lacks its value.
        SystemExit: `--help`.
    """
    return CliApp.run(Settings, cli_args=list(arguments))
