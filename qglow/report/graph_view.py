"""The quantized graph as inline SVG: a box a node, with its precision, and its noise as a stripe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from ..words import counted
from .figures import GraphNode, LayerReport
from .graph_layout import NODE, Layout, layout
from .plots import grade

HEIGHT, PITCH, MARGIN = 36.0, 62.0, 12.0
LONGEST, MOST_NODES = 22, 1200  # characters of a name in its box; nodes beyond which nothing is drawn


def graph_view(network: Sequence[GraphNode], layers: Sequence[LayerReport]) -> str:
    """One <svg> whose boxes carry the number of their layer as `data-row`; empty where the graph is too large to draw
    or has no nodes."""
    found = layout([n.inputs for n in network]) if 0 < len(network) <= MOST_NODES else None
    if found is None:
        return ""
    rows = {r.name: (k, r) for k, r in enumerate(layers, 1)}
    width = max(found.x) + NODE / 2 + 2 * MARGIN
    height = PITCH * max(found.ranks) + HEIGHT + 2 * MARGIN
    parts = [f'<path class="edges" d="{_edges(found, len(network))}"/>']
    parts += [_box(n, rows, found.x[k] + MARGIN, PITCH * found.ranks[k] + MARGIN) for k, n in enumerate(network)]
    size = f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}"'
    label = f"graph of {counted(len(network), 'node')}, from the inputs at the top to the outputs at the bottom"
    return f'<svg class="graph" {size} role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _edges(found: Layout, nodes: int) -> str:
    """All edges as one path, from the bottom of the upper item to the top of the lower one."""
    parts = []
    for upper, lower in found.edges:
        y0 = PITCH * found.ranks[upper] + MARGIN + HEIGHT
        y1 = PITCH * found.ranks[lower] + MARGIN
        x0, x1 = round(found.x[upper] + MARGIN), round(found.x[lower] + MARGIN)
        through = f"V{y1 + HEIGHT:.0f}" if lower >= nodes else ""  # NOTE: a point is as high as a node
        middle = (y0 + y1) / 2
        curve = f"V{y1:.0f}" if x0 == x1 else f"C{x0} {middle:.0f} {x1} {middle:.0f} {x1} {y1:.0f}"
        parts.append(f"M{x0} {y0:.0f}{curve}{through}")
    return "".join(parts)


def _box(node: GraphNode, rows: Mapping[str, tuple[int, LayerReport]], middle: float, y: float) -> str:
    number, row = rows.get(node.layer, (0, None))
    noise = "" if row is None else f"; {row.sqnr_db:.1f} dB"
    alone = "" if row is None or row.own_sqnr_db is None else f", alone {row.own_sqnr_db:.1f} dB"
    kind = f"node {node.precision}"
    stripe = "" if row is None else f'<path class="{grade(row.sqnr_db)}" d="M0 0h5v36H0z"/>'
    short = node.layer if len(node.layer) <= LONGEST else "…" + node.layer[-LONGEST + 1 :]
    title = escape(f"{node.layer if short != node.layer else node.op} ({node.precision}){noise}{alone}")
    place = f'transform="translate({middle - NODE / 2:.0f} {y:.0f})"'
    link = f' data-row="{number}"' if number else ""
    return (
        f'<g class="{kind}"{link} {place}><title>{title}</title><path class="box" d="M0 0h148v36H0z"/>{stripe}'
        f'<text x="12" y="15" class="op">{escape(node.op[:LONGEST])}</text>'
        f'<text x="12" y="29">{escape(short)}</text></g>'
    )
