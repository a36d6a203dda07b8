"""The page that documents the endpoints: made here from the OpenAPI description.

Swagger UI would have to be loaded from another site, which a machine without a network cannot do,
and which would run that site's code beside the token.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
"""Content-Security-Policy of the page, which has no scripts."""

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font-family: ui-monospace, monospace; font-size: .9em }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8886; border-radius: .4rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0 }
td { border-top: 1px solid #8884 }
h2 { margin-top: 2.5rem }
"""

Schema = Mapping[str, Any]


def documentation(openapi: Schema) -> str:
    """Returns an HTML page for an OpenAPI description (3.1), whose text it escapes."""
    info = openapi["info"]
    sections = [
        _operation(openapi, path, method, operation)
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(info['title'])}</h1><p>{escape(info['description'])}</p>"
        f"{''.join(sections)}"
        '<p>For programs: <a href="openapi.json">openapi.json</a>.</p></body></html>'
    )


def _operation(openapi: Schema, path: str, method: str, operation: Schema) -> str:
    parts = [f"<h2><code>{method.upper()} {escape(path)}</code></h2>"]
    parts += [f"<p>{escape(part)}</p>" for part in operation["description"].split("\n\n")]
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Request: <code>{escape(kind)}</code></h3>")
        parts.append(_fields(openapi, content["schema"]))
    if "x-example" in operation:
        parts.append(f"<pre>{escape(operation['x-example'])}</pre>")
    parts.append("<h3>Responses</h3><table>")
    for status, response in operation["responses"].items():
        parts.append(f"<tr><td>{status}</td><td>{escape(response['description'])}</td></tr>")
    parts.append("</table>")
    success = operation["responses"]["200"]["content"]["application/json"]["schema"]
    example = json.dumps(_example(openapi, success), indent=2, ensure_ascii=False)
    parts.append(f"<pre>{escape(example)}</pre>{_described(openapi, success)}")
    return "".join(parts)


def _fields(openapi: Schema, schema: Schema) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(_kind(openapi, field))}</td>"
        f"<td>{escape(field.get('description', ''))}{_default(field)}</td></tr>"
        for name, field in schema["properties"].items()
    )
    return f"<table><tr><th>field</th><th>type</th><th></th></tr>{rows}</table>"


def _described(openapi: Schema, schema: Schema) -> str:
    """Returns a table of the fields of a response, and of the objects in it."""
    found = _resolved(openapi, schema)
    inner = [_inner(openapi, field) for field in found["properties"].values()]
    tables = "".join(_described(openapi, each) for each in inner if each is not None)
    return f"<h4>{escape(found['title'])}</h4>{_fields(openapi, found)}{tables}"


def _inner(openapi: Schema, field: Schema) -> Schema | None:
    """Returns the schema of the objects in an array, or None."""
    array = next(_arrays(field), None)
    item = None if array is None else _resolved(openapi, array["items"])
    return item if item is not None and "properties" in item else None


def _arrays(field: Schema) -> Iterator[Schema]:
    for each in (field, *field.get("anyOf", ())):
        if each.get("type") == "array":
            yield each


def _kind(openapi: Schema, field: Schema) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(openapi, each) for each in field["anyOf"])
    found = _resolved(openapi, field)
    if found.get("type") == "array":
        return f"several of {_kind(openapi, found['items'])}"
    if found.get("format") == "binary":
        return "file"
    return str(found.get("title") if "properties" in found else found.get("type"))


def _default(field: Schema) -> str:
    default = field.get("default")
    return "" if default is None else f" Default: {escape(str(default))}."


def _example(openapi: Schema, schema: Schema) -> Any:
    """Returns a value of a schema, made of the examples of its fields."""
    found = _resolved(openapi, schema)
    if "examples" in found:
        return found["examples"][0]
    if array := next(_arrays(found), None):
        return [_example(openapi, array["items"])]
    fields = found.get("properties", {})
    values = {name: _example(openapi, field) for name, field in fields.items()}
    return {name: value for name, value in values.items() if value != {}}


def _resolved(openapi: Schema, schema: Schema) -> Schema:
    found: Schema = schema
    while "$ref" in found:
        found = openapi["components"]["schemas"][found["$ref"].rpartition("/")[2]]
    return found
