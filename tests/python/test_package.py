#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is built and installed: one extension for every CPython from 3.9 on, that needs nothing and shows nothing."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path

import support

EXTENSION = support.PACKAGE / "libshm/_libshm.abi3.so"


def output(*arguments):
    return subprocess.run(list(map(str, arguments)), check=True, capture_output=True, text=True).stdout


class Extension(unittest.TestCase):
    def test_symbols(self):
        if not shutil.which("nm"):
            self.skipTest("no nm")
        defined = {line.split()[-1] for line in output("nm", "-D", "--defined-only", EXTENSION).splitlines()}
        self.assertEqual(defined, {"PyInit__libshm"})
        undefined = {line.split()[-1] for line in output("nm", "-D", "--undefined-only", EXTENSION).splitlines()}
        private = {name for name in undefined if name.startswith("_Py")}
        self.assertLessEqual(private, {  # these are in the stable ABI, for what macros become
            "_Py_NoneStruct", "_Py_Dealloc", "_PyArg_ParseTuple_SizeT", "_PyArg_ParseTupleAndKeywords_SizeT",
            "_Py_BuildValue_SizeT"})
        self.assertTrue({name for name in undefined if name.startswith("Py")})

    def test_libraries(self):
        if not shutil.which("readelf"):
            self.skipTest("no readelf")
        needed = set(re.findall(r"NEEDED.*\[(.*?)\]", output("readelf", "-d", EXTENSION)))
        self.assertLessEqual({name.partition(".so")[0] for name in needed}, {"libc", "libm", "libpthread", "ld-linux-x86-64"})

    def test_sources_keep_to_the_public_headers(self):
        for path in (support.TOP / "bindings/python/src").iterdir():
            includes = re.findall(r'#include [<"](libshm/.*?)[>"]', path.read_text())
            self.assertLessEqual(set(includes), {"libshm/reader.h"}, path)
            if "Py_LIMITED_API" in path.read_text():
                self.assertIn("#define Py_LIMITED_API 0x03090000\n", path.read_text())


class Installing(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def make(self, *arguments):
        result = subprocess.run(["make", "-C", support.TOP / "bindings/python", f"BUILD={support.BUILD}", *arguments],
                                capture_output=True, text=True,
                                env={key: value for key, value in os.environ.items() if not key.startswith("MAKE")})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def check(self, site):
        """It works from there alone."""
        code = "import libshm; libshm.Counter('c', 'C.').inc(); print(libshm.__file__, libshm.__version__, " \
               "libshm.generate_latest().decode())"
        result = support.run(code, PYTHONPATH=str(site), LIBSHM_DIR=tempfile.mkdtemp(dir=os.environ["LIBSHM_DIR"]))
        self.assertIn("c_total 1", result.stdout)
        self.assertIn(str(site), result.stdout)

    def test_install(self):
        self.make("install", f"DESTDIR={self.directory}", "PREFIX=/usr")
        self.check(self.directory / "usr/lib/python3/dist-packages")

    def test_wheel(self):
        for module in ("pip", "setuptools", "wheel"):
            if subprocess.run([sys.executable, "-c", f"import {module}"], capture_output=True).returncode:
                self.skipTest(f"no {module}")
        source = self.directory / "source"  # pip writes beside what it builds
        shutil.copytree(support.TOP / "bindings/python", source / "bindings/python",
                        ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        (source / "include").symlink_to(support.TOP / "include")
        self.make_in(source)
        wheel, = (self.directory / "dist").iterdir()
        self.assertRegex(wheel.name, r"^libshm-[0-9.]+-cp39-abi3-linux_\w+\.whl$")
        with zipfile.ZipFile(wheel) as archive:
            self.assertLessEqual({"libshm/__init__.py", "libshm/bridge.py", "libshm/_libshm.abi3.so"},
                                 set(archive.namelist()))
            archive.extractall(self.directory / "site")
        self.check(self.directory / "site")

    def make_in(self, source):
        result = subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps",
                                 "--no-index", "--wheel-dir", self.directory / "dist", source / "bindings/python"],
                                capture_output=True, text=True,
                                env={**{key: value for key, value in os.environ.items() if not key.startswith("MAKE")},
                                     "BUILD": str(support.BUILD), "LIBSHM_PYTHON_BUILT": "1"})
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)


if __name__ == "__main__":
    support.main()
