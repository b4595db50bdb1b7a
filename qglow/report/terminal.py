"""The report as tables for a terminal."""

from __future__ import annotations

import io
from typing import Any


def tables(report: dict[str, Any], worst: int = 10) -> str:
    """Text with one table of outputs, one of the worst layers, and what stayed float."""
    from rich.console import Console
    from rich.table import Table

    console = Console(file=io.StringIO(), width=120, force_terminal=False)
    outputs = Table(title=f"outputs over {report['samples']} samples")
    for column in ("output", "SQNR dB", "cosine", "max error", "top-1 agreement", "top-1 fp32", "top-1 int8"):
        outputs.add_column(column)
    for name, e in report["outputs"].items():
        score = [f"{e[k]:.4f}" if k in e else "-" for k in ("top1_agreement", "top1_fp32", "top1_int8")]
        outputs.add_row(name, f"{e['sqnr_db']:.1f}", f"{e['cosine']:.5f}", f"{e['max_abs_error']:.4g}", *score)
    console.print(outputs)
    layers = Table(title=f"the {worst} layers with the most noise, of {len(report['layers'])}")
    for column in ("layer", "op", "precision", "SQNR dB", "own SQNR dB", "cosine"):
        layers.add_column(column)
    for row in sorted(report["layers"], key=lambda r: r["sqnr_db"])[:worst]:
        own = "-" if row["own_sqnr_db"] is None else f"{row['own_sqnr_db']:.1f}"
        layers.add_row(row["name"], row["op"], row["precision"], f"{row['sqnr_db']:.1f}", own, f"{row['cosine']:.5f}")
    console.print(layers)
    for d in report["kept_float"]:
        console.print(f"float: {d['node']} ({d['op']}): {d['reason']}", markup=False)
    blamed = ", ".join(report["proposed_exclude"])
    console.print(f"by themselves these layers add most noise (--exclude keeps them float): {blamed}", markup=False)
    for name, t in report["latency_ms"].items():
        console.print(f"latency {name}: min {t['min']:.3f} ms, median {t['median']:.3f} ms", markup=False)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text
