"""The report as one self-contained HTML page: what it cost first, then the layers, then what stayed float. No network."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Any

from ..runtime.machine_limits import MachineLimits
from .headline import Fact, facts, float_groups, is_shown, share
from .plots import distribution, grade, noise, times
from .roofline import roofline

_STYLE = """:root{color-scheme:light dark;--ink:#1f2430;--soft:#667085;--line:#e3e6ec;--paper:#fff;--card:#f6f7f9;--good:#2a8a5f;
--fair:#d08b00;--poor:#c8372d;--mine:#2a6fdb;--shade:#2a6fdb22}
@media(prefers-color-scheme:dark){:root{--ink:#e6e8ee;--soft:#98a2b3;--line:#343a46;--paper:#171a21;--card:#20242d;--shade:#5b95f044}}
body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;padding:2rem 1.25rem 4rem;max-width:72rem;color:var(--ink);background:var(--paper)}
h1{font-size:1.6rem;margin:0}h2{font-size:1.15rem;margin:2.5rem 0 .5rem}p{margin:.4rem 0}.soft{color:var(--soft)}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(13rem,1fr));gap:1rem;margin:1.25rem 0}
.card{background:var(--card);border-radius:.6rem;padding:.9rem 1.1rem}.card b{display:block;font-size:1.75rem;line-height:1.25;
overflow-wrap:anywhere}.card:last-child{grid-column:1/-1}.card:last-child b{font-size:1.25rem}
.card b.good{color:var(--good)}.card b.fair{color:var(--fair)}.card b.poor{color:var(--poor)}.card span{color:var(--soft)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}th{color:var(--soft);font-weight:600;white-space:nowrap}
td,th{border-bottom:1px solid var(--line);padding:.3rem .7rem;text-align:left;vertical-align:middle}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}td.name{word-break:break-all;max-width:22rem}
th[data-sort]{cursor:pointer}td .good{color:var(--good)}td .fair{color:var(--fair)}td .poor{color:var(--poor);font-weight:600}
svg.wide{width:100%;height:auto}svg.spark{width:180px;height:34px;display:block}svg text{font-size:12px;fill:var(--soft)}
.grid{stroke:var(--line)}rect.good{fill:var(--good)}rect.fair{fill:var(--fair)}rect.poor{fill:var(--poor)}circle.own{fill:var(--ink)}
.range{fill:var(--shade)}.histogram{fill:var(--mine)}.zero{stroke:var(--soft);stroke-width:.7}rect.mine{fill:var(--mine)}
rect.peer{fill:var(--soft)}code{background:var(--card);padding:.1rem .3rem;border-radius:.25rem}summary{cursor:pointer}"""

_SORT = """document.querySelectorAll("th[data-sort]").forEach(function(th){th.onclick=function(){
var up=th.dataset.up=th.dataset.up=="1"?"0":"1",k=th.cellIndex,body=th.closest("table").tBodies[0];
Array.from(body.rows).sort(function(a,b){var x=a.cells[k].dataset.v,y=b.cells[k].dataset.v;
return (up=="1"?1:-1)*(isNaN(x-y)?x.localeCompare(y):x-y)}).forEach(function(r){body.appendChild(r)})}})"""


_OUTPUT_COLUMNS = (
    ("SQNR dB", "sqnr_db", ".1f"), ("cosine", "cosine", ".5f"), ("largest error", "max_abs_error", ".4g"), ("equal", "equal", ".2%"),
    ("NaN or infinite", "not_finite", "d"), ("other shape", "other_shape", "d"),
    ("same top-1", "top1_agreement", ".1%"), ("top-1 float", "top1_fp32", ".1%"), ("top-1 int8", "top1_int8", ".1%"),
)  # fmt: skip


def page(report: dict[str, Any]) -> str:
    """The HTML text of AccuracyReport.to_dict()."""
    title = f"{report['name']}: what int8 cost" if report["name"] else "What int8 cost"
    sections = [_summary(report, title), _outputs(report), _speed(report), _noise(report), _layers(report), _float(report)]
    head = f"<!doctype html><html lang=en><head><meta charset=utf-8><title>{escape(title)}</title>"
    view = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    body = "\n".join(line for section in sections for line in section)
    return f"{head}{view}\n<style>{_STYLE}</style></head><body>\n{body}\n<script>{_SORT}</script></body></html>\n"


def _summary(report: dict[str, Any], title: str) -> Iterator[str]:
    yield f"<h1>{escape(title)}</h1><p class=soft>int8 against float on {_count(report['samples'], 'sample')}</p>"
    yield f'<div class="cards">{"".join(_card(f) for f in facts(report))}</div>'


def _card(fact: Fact) -> str:
    detail = "<br>".join(escape(d) for d in fact.details)
    return f'<div class="card"><span>{escape(fact.what)}</span><b class="{fact.grade}">{escape(fact.value)}</b>{detail}</div>'


def _outputs(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Outputs</h2>"
    shown = [c for c in _OUTPUT_COLUMNS if any(is_shown(e, c[1]) for e in report["outputs"].values())]
    head = "".join(f"<th class=n>{c[0]}</th>" for c in shown)
    rows = "".join(
        f"<tr><td class=name>{escape(name)}</td>"
        + "".join(f"<td class=n>{format(e[key], form) if is_shown(e, key) else '-'}</td>" for _, key, form in shown)
        + "</tr>"
        for name, e in report["outputs"].items()
    )
    yield f'<div class="scroll"><table><thead><tr><th>output</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _speed(report: dict[str, Any]) -> Iterator[str]:
    if report["latency_ms"]:
        yield "<h2>Latency, one thread, interleaved in one run</h2>"
        yield times(report["latency_ms"])
    for note in report["notes"]:
        yield f"<p class=soft>{escape(note)}</p>"
    if report["steps"] and report["machine"]:
        yield "<h2>Where the time goes</h2>"
        yield roofline(report["steps"], MachineLimits(**report["machine"]))
        yield "<p class=soft>Each circle is a step of the program, its area the time that it takes; green: convolutions and "
        yield "matrix products, orange: depthwise ones. Lines: the most that this machine "
        yield "can do, in registers and when the data comes from the cache or from memory. Far below the lines is room for a kernel.</p>"
        yield _kinds(report["steps"])


def _kinds(steps: list[dict[str, Any]]) -> str:
    """Time by kind of step, the longest first."""
    total = sum(s["seconds"] for s in steps) or 1.0
    kinds: dict[str, list[dict[str, Any]]] = {}
    for s in steps:
        kinds.setdefault(("host " if s["host"] else "") + s["kind"], []).append(s)
    rows = "".join(
        f"<tr><td>{escape(k)}</td><td class=n>{len(part)}</td><td class=n>{spent * 1e6:.1f}</td><td class=n>{spent / total:.1%}</td></tr>"
        for k, part in sorted(kinds.items(), key=lambda i: -sum(s["seconds"] for s in i[1]))
        for spent in [sum(s["seconds"] for s in part)]
    )
    head = "<th>kind</th><th class=n>steps</th><th class=n>us</th><th class=n>share</th>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _noise(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Noise along the network</h2>"
    yield noise(report["layers"])
    yield "<p class=soft>Bars: signal-to-noise ratio with the error that arrives from the layers before. Dots: the layer alone, on its "
    yield f"true inputs; over {_count(report['layer_samples'], 'sample')}. "
    yield "A slow fall is usual; a cliff, or a low dot, is a layer to look at.</p>"
    if report["proposed_exclude"]:
        names = ", ".join(f"<code>{escape(n)}</code>" for n in report["proposed_exclude"])
        yield f"<p>By themselves these add most noise: {names}. <code>qglow quantize --exclude NAME</code> keeps a layer float.</p>"


def _layers(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Layers</h2><p class=soft>Shaded: the range that int8 holds. Filled: how often float values lie there, heights logarithmic. "
    yield "A heading sorts.</p>"
    names = [("#", 1), ("layer", 0), ("op", 0), ("precision", 0), ("SQNR dB", 1), ("alone dB", 1), ("cosine", 1), ("cut off", 1)]
    head = "".join(f'<th data-sort="1"{" class=n" if number else ""}>{name}</th>' for name, number in names)
    head += "<th>float values over the int8 range</th><th></th>"
    rows = "".join(_layer(k, row) for k, row in enumerate(report["layers"], 1))
    yield f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _layer(number: int, row: dict[str, Any]) -> str:
    own, cut = row["own_sqnr_db"], row.get("clipped")
    cells = [
        f'<td class=n data-v="{number}">{number}</td>',
        *(f'<td class={k} data-v="{escape(row[k])}">{escape(row[k])}</td>' for k in ("name", "op", "precision")),
        *(f'<td class=n data-v="{1e9 if v is None else v}">{_db(v)}</td>' for v in (row["sqnr_db"], own)),
        f'<td class=n data-v="{row["cosine"]}">{row["cosine"]:.5f}</td>',
        f'<td class=n data-v="{cut or 0}">{"-" if cut is None else escape(share(cut))}</td>',
        f"<td>{distribution(row)}</td>",
        f"<td class=soft>{row['int8_low']:.3g} to {row['int8_high']:.3g}</td>" if "int8_low" in row else "<td></td>",
    ]
    return f"<tr>{''.join(cells)}</tr>\n"


def _db(value: float | None) -> str:
    return "-" if value is None else "exact" if value >= 200 else f'<span class="{grade(value)}">{value:.1f}</span>'


def _float(report: dict[str, Any]) -> Iterator[str]:
    yield "<h2>What stayed float, and why</h2>"
    groups = float_groups(report)
    if not groups:
        yield "<p>Nothing: every node is int8 or part of one that is.</p>"
        return
    rows = []
    for (op, reason), nodes in groups:
        listed = f"<details><summary>{_count(len(nodes), 'node')}</summary>{escape(', '.join(nodes))}</details>"
        rows.append(f"<tr><td class=op>{escape(op)}</td><td>{escape(reason)}</td><td>{listed}</td></tr>")
    yield f"<table><thead><tr><th>op</th><th>why</th><th>nodes</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
