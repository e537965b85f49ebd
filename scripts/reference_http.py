"""The page on the HTTP interface, from the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from service.api.openapi import build_document

Object = Mapping[str, Any]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown, an empty one before it."""
    yield ""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    for row in rows:
        cells = (" ".join(text.split()).replace("|", "\\|") for text in row)
        yield f"| {' | '.join(cells)} |"


def page() -> Iterator[str]:
    """The page: a part a route, then a part a schema."""
    document = build_document()
    yield "# HTTP"
    yield ""
    yield str(document["info"]["description"])
    yield ""
    yield (
        "The same for programs: [openapi.json](../openapi.json); to try it out: `/docs` on a "
        "running service."
    )
    yield ""
    yield "## Routes"
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield from _operation(f"{method.upper()} {path}", operation, document)
    yield ""
    yield "## Schemas"
    for name, schema in document["components"]["schemas"].items():
        yield from _schema(name, schema)


def _operation(title: str, operation: Object, document: Object) -> Iterator[str]:
    yield ""
    yield f"### {title}"
    yield ""
    yield f"**{operation['summary']}.** {_plain(operation.get('description', ''))}"
    parameters = [_resolved(one, document) for one in operation.get("parameters", ())]
    if parameters:
        rows = [
            (f"`{one['name']}`", one["in"], _plain(one.get("description", "")))
            for one in parameters
        ]
        yield from table(("parameter", "in", "what it is"), rows)
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield ""
        yield f"Body, `{kind}`: {_type(content.get('schema', {}))}."
        yield from _example("Such as", content)
    rows, rest = [], []
    for status, response in operation["responses"].items():
        found = _resolved(response, document)
        bodies = ", ".join(
            f"`{kind}`: {_type(content.get('schema', {}))}"
            for kind, content in found.get("content", {}).items()
        )
        meaning, _, more = _plain(found["description"]).partition("\n\n")
        rows.append((status, meaning, bodies))
        if more:
            rest.append(f"**{status}.** {more}")
    yield from table(("status", "meaning", "body"), rows)
    for paragraph in rest:
        yield ""
        yield paragraph


def _example(title: str, content: Object) -> Iterator[str]:
    examples = [one["value"] for one in content.get("examples", {}).values() if "value" in one]
    if "example" in content:
        examples.insert(0, content["example"])
    if examples and isinstance(examples[0], dict):
        yield ""
        yield f"{title}:"
        yield ""
        yield "```json"
        yield json.dumps(examples[0], indent=2, ensure_ascii=False)
        yield "```"


def _schema(name: str, schema: Object) -> Iterator[str]:
    yield ""
    yield f"### {name}"
    yield ""
    yield _plain(schema.get("description", ""))
    if "enum" in schema:
        yield ""
        yield f"One of {_values(schema['enum'])}."
    properties = schema.get("properties", {})
    if properties:
        required = schema.get("required", ())
        rows = [
            (
                f"`{field}`",
                _type(one),
                "required" if field in required else _default(one),
                _plain(one.get("description", "")),
            )
            for field, one in properties.items()
        ]
        yield from table(("field", "type", "default", "what it is"), rows)


def _default(schema: Object) -> str:
    return f"`{json.dumps(schema['default'])}`" if "default" in schema else ""


def _type(schema: Object) -> str:
    """A schema in a few words, with links to those that have a name."""
    if reference := schema.get("$ref"):
        name = str(reference).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[key]))
    if "enum" in schema:
        return f"one of {_values(schema['enum'])}"
    if "const" in schema:
        return _values([schema["const"]])
    kind = schema.get("type", "any")
    if kind == "array" and "items" in schema:
        return f"array of {_type(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"object of {_type(schema['additionalProperties'])}"
    return str(kind)


def _values(values: list[Any]) -> str:
    return ", ".join(f"`{json.dumps(value, ensure_ascii=False)}`" for value in values)


def _resolved(value: Object, document: Object) -> Object:
    if reference := value.get("$ref"):
        found: Any = document
        for part in str(reference).removeprefix("#/").split("/"):
            found = found[part]
        return found  # type: ignore[no-any-return]
    return value


def _plain(text: str) -> str:
    return text.strip()
