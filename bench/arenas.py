"""The memory that runs take: for each bundle of a folder the bytes of its buffers, of those that live at one time, and
of the arena.

    python -m bench.arenas FOLDER          a table in Markdown; dimensions that are symbolic are 1
"""

from __future__ import annotations

import argparse
from pathlib import Path

import qglow
from qglow.graph.stages import cut
from qglow.instructions.lower import stages
from qglow.instructions.program import Program
from qglow.reference import retype_known
from qglow.targets import choose


def row_of(path: Path) -> str:
    """A line of the table."""
    graph = qglow.load(path).graph
    shapes = {i: tuple(d if isinstance(d, int) else 1 for d in graph.types[i].shape or ()) for i in graph.inputs}
    made = dict(stages(cut(retype_known(graph, shapes, {})).first, choose()[0].name))
    selected, planned = made["select"], made["plan"]
    assert isinstance(selected, Program) and isinstance(planned, Program)
    live = [sum(b.size for b in planned.buffers if b.first <= k <= b.last) for k in range(len(planned.steps))]
    sizes = (sum(b.size for b in selected.buffers), max(live, default=0), planned.arena_size)
    return (
        f"| {path.stem} | {len(selected.buffers)} | {len(planned.buffers)} | "
        + " | ".join(f"{n / 1024:.1f}" for n in sizes)
        + " |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(
        "| model | buffers selected | planned | KiB of all | live at one time | arena |\n| --- | --: | --: | --: | "
        "--: | --: |"
    )
    for path in sorted(folder.glob("*.qglow")):
        try:
            print(row_of(path))
        except qglow.QGlowError as error:
            print(f"| {path.stem} | no program for dimensions of 1: {str(error)[:60]} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
