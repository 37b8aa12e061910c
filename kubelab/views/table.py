"""Objects that are plain data in code and read like kubectl when they are shown.

    Table (made by the API server) ─► ObjectList ─► text columns in a terminal, an HTML table in a notebook
    object ─► ObjectView ─► its YAML, managedFields folded away

Invariant: `ObjectList` is a list of dicts and `ObjectView` a dict; showing them changes and asks nothing.
Models:    kubectl get, kubectl get -o yaml
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from kubelab.machinery.request import Obj

PLAIN_COLUMNS = [{"name": "Name", "priority": 0}, {"name": "Kind", "priority": 0}]


class ObjectList(list[Obj]):
    """The answer to a list: dicts, shown as the table that the server made of them."""

    def __init__(self, items: Iterable[Obj] = (), table: Obj | None = None, *, wide: bool = False) -> None:
        super().__init__(items)
        self.table = table if table and table.get("kind") == "Table" else None
        self.is_wide = wide

    @property
    def wide(self) -> ObjectList:
        """Return the same list showing every column, as `-o wide` does."""
        return ObjectList(self, self.table, wide=True)

    @property
    def names(self) -> list[str]:
        return [str(item["metadata"]["name"]) for item in self]

    def header_and_rows(self) -> tuple[list[str], list[list[str]]]:
        """Return the column names as kubectl prints them, and one row of texts per object."""
        columns, rows = self._cells()
        shown = [i for i, c in enumerate(columns) if self.is_wide or not c.get("priority")]
        header = [str(columns[i]["name"]).upper() for i in shown]
        body = [[_text(row[i]) for i in shown] for row in rows]
        spaces = [str(item["metadata"].get("namespace", "")) for item in self]
        if len(set(spaces)) > 1 and len(spaces) == len(body):
            return ["NAMESPACE", *header], [[s, *row] for s, row in zip(spaces, body, strict=True)]
        return header, body

    def _cells(self) -> tuple[Sequence[Obj], list[list[Any]]]:
        if self.table is not None and len(self.table.get("rows") or ()) == len(self):
            return self.table["columnDefinitions"], [row["cells"] for row in self.table.get("rows") or ()]
        return PLAIN_COLUMNS, [[item["metadata"]["name"], item.get("kind", "")] for item in self]

    def __repr__(self) -> str:
        header, rows = self.header_and_rows()
        if not rows:
            return "No resources found"
        widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
        return "\n".join("   ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
                         for row in [header, *rows])

    def _repr_html_(self) -> str:
        header, rows = self.header_and_rows()
        if not rows:
            return "<i>No resources found</i>"
        left = ' style="text-align:left"'
        head = "".join(f'<th scope="col"{left}>{html.escape(c)}</th>' for c in header)
        body = "".join("<tr>" + "".join(f"<td{left}>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class ObjectView(dict[str, Any]):
    """One object: a dict, shown as its YAML."""

    def __repr__(self) -> str:
        return to_yaml(without_managed_fields(self))

    def _repr_html_(self) -> str:
        managed = (self.get("metadata") or {}).get("managedFields")
        text = f"<pre>{html.escape(to_yaml(without_managed_fields(self)))}</pre>"
        if not managed:
            return text
        return (f"{text}<details><summary>managedFields: who set what ({len(managed)})</summary>"
                f"<pre>{html.escape(to_yaml({'managedFields': managed}))}</pre></details>")


def without_managed_fields(obj: Obj) -> Obj:
    """Return `obj` without its managedFields, as kubectl shows it."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or "managedFields" not in meta:
        return dict(obj)
    return dict(obj) | {"metadata": {k: v for k, v in meta.items() if k != "managedFields"}}


def to_yaml(obj: Obj) -> str:
    """Write YAML the way kubectl does: keys sorted, block style, texts of several lines as blocks."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)

    Dumper.add_representer(str, text)
    return str(yaml.dump(dict(obj), Dumper=Dumper, default_flow_style=False, allow_unicode=True, width=10_000))


def _text(cell: Any) -> str:
    if cell is None:
        return "<none>"
    return str(cell).lower() if isinstance(cell, bool) else str(cell)
