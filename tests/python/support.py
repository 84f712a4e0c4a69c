# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python package share: where it was built, segments of their own, counts on the last line."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("BUILD", TOP / "build")).resolve()
PACKAGE = BUILD / "python"

if not (PACKAGE / "libshm" / "_libshm.abi3.so").exists():
    print("the package was not built: make python")
    sys.exit(77)
sys.path.insert(0, str(PACKAGE))
os.environ["PYTHONPATH"] = str(PACKAGE)
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)


def _own_segments():
    directory = tempfile.mkdtemp(prefix="libshm-test-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    pid = os.getpid()
    import atexit
    atexit.register(lambda: os.getpid() == pid and shutil.rmtree(directory, ignore_errors=True))
    return directory


os.environ.setdefault("LIBSHM_DIR", "")
if not os.environ["LIBSHM_DIR"]:
    os.environ["LIBSHM_DIR"] = _own_segments()


def samples(text):
    """{sample line up to its value: value} of an exposition."""
    if isinstance(text, bytes):
        text = text.decode()
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            assert name not in found, f"{name} is there twice"
            found[name] = float(value)
    return found


def run(code, *args, timeout=120, check=True, **environment):
    """Runs Python code in a process of its own."""
    result = subprocess.run([sys.executable, "-c", code, *map(str, args)], env={**os.environ, **environment},
                            capture_output=True, text=True, timeout=timeout)
    if check and result.returncode != 0:
        raise AssertionError(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result


class _Result(unittest.TextTestResult):
    def startTest(self, test):
        super().startTest(test)
        self.passed = getattr(self, "passed", 0)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


def main():
    result = unittest.main(verbosity=2, exit=False,
                           testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=_Result, verbosity=2)).result
    failed = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    line = f"{getattr(result, 'passed', 0)} passed, {failed} failed"
    print(line + (f", {len(result.skipped)} skipped" if result.skipped else ""))
    sys.exit(1 if failed else 0)
