"""What the structure of the code is held to, as a list: import cycles, imports within functions, ops named outside of
their declarations, functions that are long or take many parameters, long lines, long files.

    python tools/structure.py

prints every finding with its reason where it has one, and exits 1 where one has none. It reads syntax trees and imports
nothing of the package but the names of its ops. `tests/test_layering.py` holds the same.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "qglow"
FILES = sorted(PACKAGE.rglob("*.py"))
CODE = sorted(p for folder in ("qglow", "tests", "bench", "tools") for p in (ROOT / folder).rglob("*.py"))
MODULES = {
    ".".join(("qglow", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): p for p in FILES
}
MOST_LINES, MOST_PARAMETERS, LONGEST_LINE, LONGEST_FILE = 40, 7, 120, 400
LARGE = {  # functions beyond these, outside of kernels, and why
    "instructions/lower_product.py:product_of_two": "one instruction, field by field",
    "instructions/lower_recurrent.py:lstm": "the instructions of a layer, field by field",
    "profiling/interpreter.py:record": "public: what it takes, gives and raises; both passes over the samples in order",
    "report/on_cluster.py:compare_on": "what `compare_samples` takes, and the workers and the model that they load",
    "quantization/precision_uses.py:find_precision_uses": "one walk over the graph, a case for each kind of node",
    "quantization/qdq.py:strip_qdq": "one walk over the graph, a case for each kind of node",
    "quantization/ranges.py:_mse": "one search, with its source",
    "report/peers.py:onnxruntime_int8": "one call of another library, option by option",
    "report/target.py:reach": "one search, step by step",
    "instructions/lower_recurrent.py:cell": "the operands of one instruction",
    "onnx_import/contrib/products.py:scaled_product": "the operands of an op of onnxruntime's, which this composes",
    "ops/movement.py:_moves": "the fields of a declaration, by name",
    "runtime/session.py:__init__": "public: onnxruntime's parameters, then what a user may choose, by name",
    "pipeline.py:compare": "public: what a user may choose, by name",
    "pipeline.py:compare_several": "what `compare` has, of several bundles",
    "pipeline.py:profile": "public: what a user may choose, by name",
    "pipeline.py:quantize": "public: what a user may choose, by name",
}
LONG_FILES: dict[str, str] = {}  # files beyond the most lines, and why
OP_LISTS = {  # files that name several ops in one place, outside of `ops/`, and why
    "kernels/floats.py": "the kernel expression of each of these functions",
    "graph/stages.py": "the op whose rows are counted by data, and the two that it is cut into",
    "reference/float_functions.py": "activations of recurrent layers, which an attribute names",
    "reference/recurrent_float.py": "activations of recurrent layers, and the three cells whose meaning the file is",
    "reference/recurrent_layer.py": "the gates of the three cells",
    "onnx_import/contrib/expand.py": "operators of onnxruntime's own domain, as files have them",
    "onnx_import/contrib/products.py": "activations that onnxruntime fuses, by the name in an attribute, with their "
    "parameters",
    "onnx_import/export_qoperator.py": "the operator on integers that another runtime has of each of these",
    "onnx_import/aligned.py": "operators of opsets before 7, as files have them",
    "onnx_import/completed.py": "the first opsets of operators, where files have them earlier",
    "onnx_import/element_types.py": "operators of files that widen narrow dtypes, with and without a declaration",
    "onnx_import/forms.py": "attributes of older opsets, as files have them",
}


sys.path.insert(0, str(ROOT))
from qglow.ops import OPS  # noqa: E402


class Finding(NamedTuple):
    """what: the list that it is on. reason: empty where nothing allows it."""

    what: str
    where: str
    reason: str = ""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree_of(path)))


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports_of(path: Path) -> set[str]:
    """Modules of the package that a module imports when it is imported itself."""
    here, found = ("qglow", *path.relative_to(PACKAGE).with_suffix("").parts), set()
    for node in _outside_functions(tree_of(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = (*here[: -node.level], *filter(None, (node.module or "").split(".")))
            parts = {".".join((*base, a.name)) for a in node.names}
            found |= parts if parts <= MODULES.keys() else {".".join(base), *parts}
    return found


def _outside_functions(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _outside_functions(child)


def import_cycles() -> Iterator[Finding]:
    """Modules that import each other, however far round. A package's own `__init__` may import its parts."""
    edges = {name: {i for i in imports_of(path) if i in MODULES and i != name} for name, path in MODULES.items()}
    left = set(MODULES)
    while True:  # a module that imports none of those left, or that none of them imports, is in no cycle
        first = {n for n in left if not edges[n] & left}
        last = left - {m for n in left for m in edges[n]}
        if not first | last:
            break
        left -= first | last
    yield from (Finding("import cycle", name) for name in sorted(left))


def late_imports() -> Iterator[Finding]:
    """Imports within functions; a comment at the import or above it, which begins with NOTE, is the reason."""
    for path in FILES:
        source = path.read_text()
        lines = source.splitlines()
        for n in nodes_of(path):
            if not isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for line in sorted(i.lineno for i in ast.walk(n) if isinstance(i, ast.Import | ast.ImportFrom)):
                first = line - 1
                while lines[first - 1].lstrip().startswith("#"):
                    first -= 1
                _, said, reason = "\n".join(lines[first:line]).partition("NOTE: ")
                if path.relative_to(PACKAGE).parts[0] == "kernels":  # a target is chosen before numba is imported
                    said, reason = "NOTE: ", reason or "only the process that compiles kernels imports numba"
                yield Finding("late import", f"{relative(path)}:{line}", reason.split("\n")[0] if said else "")


def names_of_ops(node: ast.AST) -> list[str]:
    """The names of ops among the elements of a tuple, list or set, or the keys of a dict."""
    if isinstance(node, (ast.Tuple, ast.List, ast.Set)):
        elements = node.elts
    elif isinstance(node, ast.Dict):
        elements = [k for k in node.keys if k is not None]
    else:
        return []
    return [e.value for e in elements if isinstance(e, ast.Constant) and isinstance(e.value, str) and e.value in OPS]


def op_lists() -> Iterator[Finding]:
    """Collections that hold the names of two ops or more: a question that a declaration answers. A reason that no file
    needs any more is a finding too."""
    used = set()
    for path in FILES:
        if relative(path).startswith("ops/"):
            continue
        for node in nodes_of(path):
            names = names_of_ops(node)
            if len(names) > 1:
                used.add(relative(path))
                where = f"{relative(path)}:{node.lineno}: {', '.join(names)}"  # type: ignore[attr-defined]
                yield Finding("ops by name", where, OP_LISTS.get(relative(path), ""))
    yield from (Finding("a reason without ops", where) for where in OP_LISTS.keys() - used)


def large_functions() -> Iterator[Finding]:
    for path in FILES:
        if relative(path).startswith("kernels/"):  # NOTE: they write a kernel's code line by line
            continue
        for f in nodes_of(path):
            if not isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            named = [a for a in (*f.args.posonlyargs, *f.args.args, *f.args.kwonlyargs) if a.arg not in ("self", "cls")]
            count = len(named) + bool(f.args.vararg) + bool(f.args.kwarg)
            lines = (f.end_lineno or f.lineno) - f.lineno + 1
            if lines > MOST_LINES or count > MOST_PARAMETERS:
                where = f"{relative(path)}:{f.name}"
                yield Finding(f"{lines} lines, {count} parameters", where, LARGE.get(where, ""))


def long_lines() -> Iterator[Finding]:
    for path in CODE:
        for k, line in enumerate(path.read_text().splitlines(), 1):
            if len(line) > LONGEST_LINE:
                yield Finding(f"line of {len(line)}", f"{path.relative_to(ROOT)}:{k}")


def long_files() -> Iterator[Finding]:
    for path in FILES:
        count = len(path.read_text().splitlines())
        if count > LONGEST_FILE:
            yield Finding(f"file of {count}", relative(path), LONG_FILES.get(relative(path), ""))


def tests_of_one_name() -> Iterator[Finding]:
    """pytest imports a test by its file's name alone where its folder is no package."""
    known: dict[str, Path] = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        if not (path.parent / "__init__.py").exists() and known.setdefault(path.name, path) is not path:
            yield Finding("two tests of one name", f"{path.relative_to(ROOT)}, {known[path.name].relative_to(ROOT)}")


LISTS = (import_cycles, late_imports, op_lists, large_functions, long_lines, long_files, tests_of_one_name)


def main() -> int:
    bad = 0
    for listed in LISTS:
        found = list(listed())
        without = [f for f in found if not f.reason]
        bad += len(without)
        print(f"{listed.__name__.replace('_', ' ')}: {len(found)}, {len(without)} without a reason")
        for f in found:
            print(f"  {f.where} ({f.what}){': ' + f.reason if f.reason else ''}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
