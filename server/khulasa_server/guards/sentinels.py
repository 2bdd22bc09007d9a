"""Control tokens of a model in a text that people read."""

from __future__ import annotations

import re

from khulasa_server.guards.findings import Finding, Kind, excerpt
from khulasa_server.text.spans import Span

_SENTINEL = re.compile(
    r"</?s>|<(?:pad|unk|mask|bos|eos)>|<extra_id_\d+>|<0x[0-9A-Fa-f]{2}>"
    r"|>>\w{2,8}<<|<2\w{2,3}>|\[(?:CLS|SEP|PAD|UNK|MASK)\]|<\|[a-z_]+\|>|@@(?= )|▁|⁇"
)


def find_sentinels(source: str, output: str) -> list[Finding]:
    """Control tokens that `output` holds and `source` does not.

    A source that spells one out, as documentation of a tokenizer does, excuses that one.
    """
    return [
        Finding(Kind.SENTINEL, None, Span(*match.span()), excerpt(match.group()))
        for match in _SENTINEL.finditer(output)
        if match.group() not in source
    ]
