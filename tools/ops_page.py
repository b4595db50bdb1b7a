"""Write docs/ops.md from the declarations of ops: `python tools/ops_page.py`. A test holds the page to what this would
write."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from qglow.ops import OPS, OpDef, traits  # noqa: E402
from qglow.ops.definition import ANY_RANK, FROM_DATA, MANY, Meaning, Operand, Output  # noqa: E402
from qglow.ops.forms import Form, whatever  # noqa: E402
from qglow.ops.registry import FAMILIES  # noqa: E402

PAGE = ROOT / "docs" / "ops.md"
HEAD = """# The ops

Made from the declarations in `qglow/ops/` by `tools/ops_page.py`; do not edit it by hand.
[adding_an_op.md](adding_an_op.md) says how an op is added, [quantization.md](quantization.md) holds the equations by
number.

An operand is `name: dtype`: operands and outputs with one letter have one dtype. `?` marks one that may be left out,
`...` any number of them, `[1]` the dimensions that it must have. An attribute is `name = default`; `!` marks one that a
node must have, `*` one of which only the default is implemented, or that changes nothing at inference. "sized by" names
the operands whose elements decide the shapes of the outputs, "int8" the integer meaning, its equations and what it
implements of the attributes, "kernels" what compiled kernels do.
"""


def page() -> str:
    """The text of the page."""
    parts = [HEAD]
    for family in FAMILIES:
        name = family.__name__.rpartition(".")[2]
        summary = (family.__doc__ or "").strip().splitlines()[0]
        parts.append(f"## `qglow/ops/{name}.py`\n\n{summary}\n")
        parts += [_row(row) for row in family.OPS]
    parts.append(f"## Traits\n\n{_traits()}\n")
    return "\n".join(parts)


def _row(row: OpDef) -> str:
    inputs, outputs = ", ".join(map(_operand, row.operands)), ", ".join(map(_output, row.outputs))
    lines = [f"**{row.name}**({inputs}) -> {outputs}", ""]
    if row.attributes:
        lines.append(f"- attributes: {', '.join(_attribute(row, name) for name in row.attributes)}")
    if row.traits:
        lines.append(f"- traits: {', '.join(sorted(t.name for t in row.traits))}")
    if row.sized_by:
        by = "all elements" if row.sized_by == FROM_DATA else ", ".join(row.operands[k].name for k in row.sized_by)
        lines.append(f"- sized by: {by}")
    meanings = (("meaning", row.meaning), ("strict", row.strict))
    lines += [f"- {label}: `{_function(m)}`" for label, m in meanings if m is not None]
    if row.integer is not None:
        equations = f" ({row.equations})" if row.equations else ""
        lines.append(f"- int8: `{_function(row.integer)}`{equations}{_form(row.int8)}")
    if row.int8_kernel is not None:
        lines.append(
            "- int8 kernels: as int8" if row.int8_kernel == row.int8 else f"- int8 kernels{_form(row.int8_kernel)}"
        )
    if row.float_kernel is not None:
        lines.append(f"- float kernels{_form(row.float_kernel)}")
    return "\n".join([*lines, ""])


def _function(meaning: Meaning) -> str:
    return meaning.function if isinstance(meaning.function, str) else meaning.function.__name__


def _operand(operand: Operand) -> str:
    low, high = operand.rank
    rank = (
        ""
        if (low, high) == ANY_RANK
        else f"[{low}]"
        if low == high
        else f"[{low}+]"
        if high == MANY
        else f"[{low} to {high}]"
    )
    mark = "?" if operand.optional else ""
    return (
        f"{operand.name}{'...' if operand.variadic else ''}{mark}{f': {operand.dtype}' if operand.dtype else ''}{rank}"
    )


def _output(output: Output) -> str:
    dtype = f"attribute {output.dtype[1:]}" if output.dtype.startswith("=") else output.dtype
    return f"{output.name}{f': {dtype}' if dtype else ''}"


def _attribute(row: OpDef, name: str) -> str:
    attribute = row.attributes[name]
    mark = "!" if attribute.required else "" if attribute.effect == "read" else "*"
    return f"`{name}{'' if attribute.default is None else f' = {attribute.default}'}`{mark}"


def _form(form: Form | None) -> str:
    if form is None:
        return ""
    names = [f"`{n}`" if takes is whatever else f"`{n}` (some values)" for n, takes in form.attributes.items()]
    return f": {', '.join(names)}" if names else ""


def _traits() -> str:
    known = [t for t in vars(traits).values() if isinstance(t, traits.Trait)]
    rows = [f"| {t.name} | {t.words} | {', '.join(op for op, row in OPS.items() if t in row.traits)} |" for t in known]
    return "\n".join(["| trait | an op that has it | ops |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    PAGE.write_text(page())
