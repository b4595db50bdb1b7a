"""The report as one self-contained HTML page: no script from elsewhere, no network."""

from __future__ import annotations

from html import escape
from typing import Any

_STYLE = """body{font:14px system-ui,sans-serif;margin:2em auto;max-width:70em;color:#222}table{border-collapse:collapse;margin:1em 0}
td,th{border-bottom:1px solid #ddd;padding:.25em .8em;text-align:left}td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{width:100%;height:auto}h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}"""


def page(report: dict[str, Any]) -> str:
    """The HTML text of AccuracyReport.to_dict()."""
    parts = [
        "<!doctype html><html lang=en><head><meta charset=utf-8><title>qglow report</title>",
        f"<style>{_STYLE}</style></head><body><h1>What int8 cost</h1><p>{report['samples']} samples</p>",
        "<h2>Outputs</h2>",
        _table([{"output": n, **e} for n, e in report["outputs"].items()]),
        "<h2>Signal-to-noise ratio by layer, in execution order</h2>",
        _plot(report["layers"]),
        "<p>Bars: with the error that arrives from the layers before; dots: the layer's own, on its true inputs.</p>",
        *_cost(report),
        "<h2>Layers</h2>",
        _table(report["layers"]),
        "<h2>What stayed float, and why</h2>",
        _table([{k: d[k] for k in ("node", "op", "reason")} for d in report["kept_float"]]),
        "<p>By themselves these layers add most noise; <code>qglow quantize --exclude NAME</code> keeps one float: ",
        f"{escape(', '.join(report['proposed_exclude']))}</p></body></html>",
    ]
    return "\n".join(parts)


def _cost(report: dict[str, Any]) -> list[str]:
    """Size and latency, where they are known."""
    size, parts = report["size"], []
    if size.get("int8_bytes"):
        kib = {"float32": size["float_bytes"] / 1024, "int8": size["int8_bytes"] / 1024}
        parts += ["<h2>Size of the weights</h2>", _table([{"form": k, "KiB": v} for k, v in kib.items()])]
    if report["latency_ms"]:
        rows = [{"runtime": n, "min ms": t["min"], "median ms": t["median"]} for n, t in report["latency_ms"].items()]
        parts += ["<h2>Latency, interleaved in one run</h2>", _table(rows)]
    return parts


def _table(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "<p>none</p>"
    columns = list(rows[0])
    head = "".join(f"<th>{escape(c)}</th>" for c in columns)
    body = "".join("<tr>" + "".join(_cell(row.get(c)) for c in columns) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return "<td class=n>-</td>"
    return f"<td class=n>{value:.5g}</td>" if isinstance(value, float) else f"<td>{escape(str(value))}</td>"


def _plot(layers: list[dict[str, Any]]) -> str:
    """Bars of SQNR, 0 to 60 dB, one a layer; the name shows when the pointer rests on it."""
    width, height = 1000.0, 220.0
    step = width / max(1, len(layers))
    bars = []
    for k, row in enumerate(layers):
        h = height * min(60.0, max(0.0, row["sqnr_db"])) / 60
        colour = "#c33" if row["sqnr_db"] < 15 else "#d90" if row["sqnr_db"] < 25 else "#285"
        title = escape(f"{row['name']} ({row['op']}, {row['precision']}): {row['sqnr_db']:.1f} dB")
        place = f'x="{k * step:.1f}" y="{height - h:.1f}" width="{step * 0.9:.1f}" height="{h:.1f}"'
        bars.append(f'<rect {place} fill="{colour}"><title>{title}</title></rect>')
        own = row.get("own_sqnr_db")
        if own is not None:
            y = height * (1 - min(60.0, max(0.0, own)) / 60)
            bars.append(f'<circle cx="{(k + 0.45) * step:.1f}" cy="{y:.1f}" r="{min(4.0, step / 3):.1f}" fill="#225"/>')
    lines = [f'<line x1="0" x2="{width}" y1="{height * (1 - d / 60):.0f}" y2="{height * (1 - d / 60):.0f}" stroke="#ccc"/>'
             f'<text x="2" y="{height * (1 - d / 60) - 2:.0f}" font-size="10">{d} dB</text>' for d in (20, 40)]  # fmt: skip
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img">{"".join(lines)}{"".join(bars)}</svg>'
