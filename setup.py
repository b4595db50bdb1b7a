"""The one thing that pyproject.toml cannot say: a wheel carries the demo's model and data inside of the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithDemo(build_py):
    """Copies calibration_data/ to qglow/demo_data/ of what is built; an editable install finds it in the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree(Path(__file__).parent / "calibration_data", Path(self.build_lib) / "qglow" / "demo_data", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithDemo})
