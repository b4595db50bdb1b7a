"""setuptools' build backend, with one thing added: a wheel that carries compiled kernels needs the compiler while it is
built."""

import os
import tomllib
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

COMPILER = ("numpy", "numba", "llvmlite")


def get_requires_for_build_wheel(config_settings=None):
    needed = build_meta.get_requires_for_build_wheel(config_settings)
    if os.environ.get("QGLOW_WHEEL_KERNELS") == "none":
        return needed
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    return [*needed, *(d for d in project["dependencies"] if d.startswith(COMPILER))]
