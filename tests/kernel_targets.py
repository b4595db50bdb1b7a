"""Targets whose kernels are tested on this machine: all but those that are emulated by the same kernels as another."""

from __future__ import annotations

from qglow.targets import HOST, TARGETS, Target, has


def _emulated(row: Target) -> Target:
    """A row without what has no part in emulated kernels, nor in the programs that they run."""
    return row._replace(
        name="",
        architecture=HOST,
        cpu="",
        features="",
        needs=(),
        product="",
        narrowing="",
        fma=False,
        on_request=False,
    )


def _kernels() -> list[str]:
    found: dict[Target, str] = {}
    for name, row in TARGETS.items():
        found.setdefault(row if has(name) else _emulated(row), name)
    return list(found.values())


KERNEL_TARGETS = _kernels()
