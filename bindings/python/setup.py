# SPDX-License-Identifier: Apache-2.0
"""The wheel. The Makefile builds the extension, so there is one way to compile it; this packs what that built."""
import os
import re
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py
from wheel.bdist_wheel import bdist_wheel

HERE = Path(__file__).resolve().parent
TOP = HERE.parent.parent
BUILD = Path(os.environ.get("BUILD", TOP / "build")).resolve()
VERSION = re.search(r'^#define LIBSHM_VERSION +"(.*)"', (TOP / "include/libshm.h").read_text(), re.M).group(1)


class Build(build_py):
    def run(self):
        if not os.environ.get("LIBSHM_PYTHON_BUILT"):
            subprocess.run(["make", "-C", TOP, f"BUILD={BUILD}", "python-built"], check=True)
        target = Path(self.build_lib) / "libshm"
        self.mkpath(str(target))
        for path in sorted((BUILD / "python/libshm").iterdir()):
            if path.is_file():
                self.copy_file(str(path), str(target / path.name))


class Wheel(bdist_wheel):
    def get_tag(self):  # one build for every CPython from 3.9 on
        return "cp39", "abi3", super().get_tag()[2]


class Binary(Distribution):
    def has_ext_modules(self):
        return True


setup(version=VERSION, packages=["libshm"], distclass=Binary, cmdclass={"build_py": Build, "bdist_wheel": Wheel})
