"""What pyproject.toml cannot say: a wheel carries the demo's model and data, and the compiled kernels, inside of the
package.

When a wheel is built, kernels are compiled for the best instruction set of the building machine: a minute on two cores.
QGLOW_WHEEL_KERNELS=all takes those of the machine's architecture, for a wheel that goes elsewhere (five minutes),
`avx2,generic` takes some, `none` leaves them out. An editable install, and `setup.py build`, compile nothing.
"""

import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from sysconfig import get_platform

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def wanted_sets() -> list[str]:
    """Names of the instruction sets that go into a wheel."""
    from qglow.targets import HOST, TARGETS, has

    given = os.environ.get("QGLOW_WHEEL_KERNELS")
    if given is None:
        return [next(row.name for row in TARGETS.values() if not row.on_request and has(row.name))]
    if given == "all":
        return [row.name for row in TARGETS.values() if row.architecture == HOST]
    names = [n.strip() for n in given.split(",") if n.strip() not in ("", "none")]
    for name in names:
        if name not in TARGETS:
            known = ", ".join(TARGETS)
            raise SystemExit(f"QGLOW_WHEEL_KERNELS: no instruction set {name!r}; known are all, none, {known}")
    return names


def said(parts: Iterator[int], what: str, total: int, quiet: bool) -> Iterator[int]:
    """The parts as they come, with a line at the start, every ten seconds and at the end: `pip -v` shows lines."""
    start = last = time.perf_counter()
    print(f"qglow: {what}: 0 of {total} kernels", flush=True)
    for done in parts:
        now = time.perf_counter()
        if now - last >= 10 or done == total:
            print(f"qglow: {what}: {done} of {total} kernels after {now - start:.0f} s", flush=True)
            last = now
        yield done


def compile_kernels(folder: Path) -> None:
    """Objects of the wanted sets in a folder that holds nothing else, and their hashes as code."""
    from qglow.kernels.builder import compile_into
    from qglow.kernels.objects import object_name

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = wanted_sets()
    print(
        f"qglow: compiling kernels for {', '.join(names)}, about a minute for each on two cores; "
        "QGLOW_WHEEL_KERNELS=none leaves them out",
        flush=True,
    )
    for name in names:  # NOTE: one set keeps all CPUs busy
        with open(folder / object_name(name), "wb") as file:
            compile_into(file.fileno(), name, emulated=False, quiet=True, shown=said)
    hashes = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}
    lines = "".join(f'    "{name}": "{digest}",\n' for name, digest in hashes.items())
    code = f'"""SHA-256 of the compiled kernels that this package carries."""\n\nHASHES = {{\n{lines}}}\n'
    (folder.parent / "carried.py").write_text(code)


class Build(build_py):
    """Copies calibration_data/ to qglow/demo_data/ of what is built; an editable install finds it in the checkout."""

    with_kernels = False

    def run(self) -> None:
        super().run()
        package = Path(self.build_lib) / "qglow"
        if not self.editable_mode:
            shutil.copytree(HERE / "calibration_data", package / "demo_data", dirs_exist_ok=True)
        if self.with_kernels:
            compile_kernels(package / "kernels" / "objects")


class Wheel(bdist_wheel):
    """A wheel for any Python: of one platform where it carries kernels, else of all."""

    def get_tag(self) -> tuple[str, str, str]:
        place = (self.plat_name or get_platform()).replace("-", "_").replace(".", "_")
        return ("py3", "none", place if wanted_sets() else "any")

    def run(self) -> None:
        self.get_finalized_command("build_py").with_kernels = bool(wanted_sets())
        super().run()


setup(cmdclass={"build_py": Build, "bdist_wheel": Wheel})
