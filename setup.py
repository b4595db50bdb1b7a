"""What pyproject.toml cannot say: a wheel carries the demo's model and data, and the compiled kernels, inside of the
package.

Kernels are compiled for every instruction set when a wheel is built, half a minute in all on two cores.
QGLOW_WHEEL_KERNELS=none leaves them out, `avx2,generic` takes some. An editable install, and `setup.py build`, compile
nothing.
"""

import hashlib
import os
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from sysconfig import get_platform

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))


def wanted_sets() -> list[str]:
    """Names of the instruction sets that go into a wheel."""
    from qglow.targets import HOST, TARGETS

    given = os.environ.get("QGLOW_WHEEL_KERNELS")
    if given is None:
        return [row.name for row in TARGETS.values() if row.architecture == HOST]
    names = [n.strip() for n in given.split(",") if n.strip() not in ("", "none")]
    for name in names:
        if name not in TARGETS:
            raise SystemExit(f"QGLOW_WHEEL_KERNELS: no instruction set {name!r}; known are none, {', '.join(TARGETS)}")
    return names


def compile_kernels(folder: Path) -> None:
    """Objects of the wanted sets in a folder that holds nothing else, as many at a time as there are CPUs, and their
    hashes as code."""
    from qglow.kernels.builder import compile_into
    from qglow.kernels.objects import object_name

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    names = wanted_sets()

    def one(name: str) -> None:
        start = time.perf_counter()
        with open(folder / object_name(name), "wb") as file:
            compile_into(file.fileno(), name, emulated=False, quiet=True)
        print(f"qglow: compiled the {name} kernels in {time.perf_counter() - start:.0f} s", flush=True)

    print(f"qglow: compiling kernels for {', '.join(names)}; QGLOW_WHEEL_KERNELS=none leaves them out", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(one, names))
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
