"""A small HTML table for a notebook, of what a `repr` says in a line."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def card(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """A heading and a row for each (what, value)."""
    body = "".join(f"<tr><th style='text-align:left'>{escape(str(k))}</th><td style='text-align:left'>{escape(str(v))}"
                   "</td></tr>" for k, v in rows)  # fmt: skip
    return f"<table><caption style='text-align:left'><b>{escape(title)}</b></caption>{body}</table>"
