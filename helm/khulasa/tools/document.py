"""Writes values.schema.json and README.md from values.yaml; with `--check` only compares.

In values.yaml, comment lines right above a key describe it. One that starts with `@schema` adds
JSON schema to what the default implies; a mapping that has one is not looked into. A line that
starts with two number signs begins a section of the README.
"""

# ruff: noqa: INP001 - a script beside its chart, no package

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHART = Path(__file__).parents[1]
MARK = "@schema "
DRAFT = "https://json-schema.org/draft/2020-12/schema"
TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
FRACTIONS = ("exclusiveMinimum",)
"""Keywords that only numbers with fractions are given here: such a number is no integer."""
HEAD = """<!-- Written by tools/document.py from values.yaml: change that file. -->
# khulasa's chart

```bash
helm install khulasa helm/khulasa --set image.repository=registry.example/khulasa
helm test khulasa --logs
```

It serves the embedded models until `models.source` says otherwise. The real ones are built once by
a Job (`build`), or come on a volume (`pvc`) or in an image (`image`):

```yaml
models:
  source: build
  build:
    image: registry.example/khulasa-build:0.1.0
    items:
      - {name: translator, source: opus-mt-ar-en, revision: <40 hexadecimal digits of the commit>}
      - {name: summarizer, source: xlsum, revision: <…>, keepLanguages: [ar, en]}
```

Clients that make many calls should resolve the headless Service
(`dns:///RELEASE-headless.NAMESPACE.svc:50051`, round robin): the other one balances connections.

Values that contradict each other are refused with a sentence that says what to change; values that
do not exist are refused too.
"""
ROW = "| `{name}` | {default} | {text} |\n"


@dataclass(frozen=True, slots=True)
class Value:
    """One value.

    Args:
        path: its keys from the root.
        default: what values.yaml has.
        text: what describes it, in one line.
        extra: JSON schema besides what the default implies; None: nothing is said.
        children: what is in it; empty: it is a leaf.
    """

    path: tuple[str, ...]
    default: Any
    text: str
    extra: dict[str, Any] | None
    children: tuple[Value, ...]

    @property
    def name(self) -> str:
        """Its path as `--set` takes it."""
        return ".".join(self.path)

    def described(self) -> Iterator[Value]:
        """Itself if there is something to say of it, then what is in it."""
        if self.text or not self.children:
            yield self
        for child in self.children:
            yield from child.described()

    def schema(self) -> dict[str, Any]:
        """JSON schema of it; unknown keys are errors unless `extra` says otherwise."""
        described = {"description": self.text} if self.text else {}
        if self.children:
            return described | closed({each.path[-1]: each.schema() for each in self.children})
        extra = self.extra or {}
        kind = "object" if isinstance(self.default, dict) else TYPES[type(self.default)]
        if any(keyword in extra for keyword in FRACTIONS):
            kind = "number"
        shape = {} if "enum" in extra else {"type": kind}
        return described | shape | extra | {"default": self.default}


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """Schema of an object with these properties and no others."""
    return {"type": "object", "additionalProperties": False, "properties": properties}


class Reader:
    """Reads values with their comments.

    Args:
        text: of values.yaml.
    """

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()
        self._root: Any = yaml.compose(text, yaml.SafeLoader)
        self._defaults = yaml.safe_load(text)

    def values(self) -> tuple[Value, ...]:
        """The values at the root."""
        return tuple(self._mapping(self._root, self._defaults, ()))

    def sections(self) -> list[tuple[str, list[Value]]]:
        """Titles with the values at the root below each, in order."""
        found: list[tuple[str, list[Value]]] = []
        titles = {number: line[3:] for number, line in enumerate(self._lines) if line[:3] == "## "}
        for value, (key, _) in zip(self.values(), self._root.value, strict=True):
            title = [titles[each] for each in titles if each < key.start_mark.line][-1]
            if not found or found[-1][0] != title:
                found.append((title, []))
            found[-1][1].append(value)
        return found

    def _mapping(self, node: Any, defaults: Any, path: tuple[str, ...]) -> Iterator[Value]:  # noqa: ANN401 - YAML holds anything
        for key, content in node.value:
            here, default = (*path, key.value), defaults[key.value]
            text, extra = self._comment(key.start_mark.line)
            inner = isinstance(default, dict) and extra is None
            children = tuple(self._mapping(content, default, here)) if inner else ()
            yield Value(here, default, text, extra, children)

    def _comment(self, line: int) -> tuple[str, dict[str, Any] | None]:
        words: list[str] = []
        extra = None
        while (line := line - 1) >= 0 and (comment := self._lines[line].strip()).startswith("# "):
            if (said := comment[2:]).startswith(MARK):
                extra = json.loads(said.removeprefix(MARK))
            else:
                words.insert(0, said)
        return " ".join(words), extra


def schema(reader: Reader) -> str:
    """The content of values.schema.json."""
    properties = {value.path[-1]: value.schema() for value in reader.values()}
    # Helm hands every chart its parent's `global`.
    properties["global"] = {"type": "object"}
    whole = {"$schema": DRAFT, "title": "Values of khulasa", **closed(properties)}
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def readme(reader: Reader) -> str:
    """The content of README.md."""
    return HEAD + "".join(section(title, values) for title, values in reader.sections())


def section(title: str, values: Sequence[Value]) -> str:
    """One section of the README: a table of every value, and of mappings that are described."""
    rows = "".join(row(each) for value in values for each in value.described())
    return f"\n## {title}\n\n| value | default | what it is |\n|---|---|---|\n{rows}"


def row(value: Value) -> str:
    """One line of a table; a mapping's defaults are in the lines below it."""
    default = json.dumps(value.default, ensure_ascii=False).replace("|", "\\|")
    shown = "" if value.children else f"`{default}`"
    return ROW.format(name=value.name, default=shown, text=value.text.replace("|", "\\|"))


def main(arguments: Sequence[str]) -> int:
    """Write both files, or with `--check` say which one is stale."""
    reader = Reader((CHART / "values.yaml").read_text("utf-8"))
    status = 0
    for name, content in (("values.schema.json", schema(reader)), ("README.md", readme(reader))):
        path = CHART / name
        if "--check" not in arguments:
            path.write_text(content, "utf-8")
        elif not path.is_file() or path.read_text("utf-8") != content:
            sys.stderr.write(f"{path} is stale: run {Path(__file__).name}\n")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
