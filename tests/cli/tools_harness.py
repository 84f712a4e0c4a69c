# SPDX-License-Identifier: Apache-2.0
"""What the tests of shm-dump, shm-check and shm-ctl share: a writer through ctypes, damage, running and counting."""
import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("BUILD", os.path.join(SOURCE, "build"))
SECONDS = 60  # no program may take longer

COUNTER, GAUGE, HISTOGRAM, SUMMARY, INFO, STATESET, UNKNOWN = range(1, 8)
SHARED, SUM, MIN, MAX, ALL = range(5)


class Skip(Exception):
    pass


class Metric(ctypes.Structure):
    """libshm_metric"""
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("help", ctypes.c_char_p),
                ("unit", ctypes.c_char_p), ("labels", ctypes.POINTER(ctypes.c_char_p)),
                ("bounds", ctypes.POINTER(ctypes.c_double)), ("n_bounds", ctypes.c_size_t),
                ("type", ctypes.c_uint32), ("gauge_mode", ctypes.c_uint32), ("max_series", ctypes.c_uint32),
                ("ttl_seconds", ctypes.c_uint32)]


class OpenOptions(ctypes.Structure):
    """libshm_open_options"""
    _fields_ = [("size", ctypes.c_size_t), ("directory", ctypes.c_char_p), ("max_bytes", ctypes.c_uint64),
                ("cpu_lanes", ctypes.c_uint32), ("mode", ctypes.c_uint32), ("per_cpu_budget", ctypes.c_uint64)]


def strings(values):
    return (ctypes.c_char_p * (len(values) + 1))(*[v if isinstance(v, bytes) else v.encode() for v in values], None)


class Writer:
    """One segment, opened for writing by this process."""
    library = None

    def __init__(self, directory, name):
        if not Writer.library:
            Writer.library = ctypes.CDLL(os.path.join(BUILD, "libshm.so"))
            Writer.library.libshm_error_detail.restype = ctypes.c_char_p
        self.handles = []
        self.families = {}
        self.segment = ctypes.c_void_p()
        options = OpenOptions(size=ctypes.sizeof(OpenOptions), directory=directory.encode())
        self.must(self.library.libshm_open_abi(name.encode(), ctypes.byref(options), 1, ctypes.byref(self.segment)))

    def must(self, error):
        if error:
            raise RuntimeError(f"{error}: {self.library.libshm_error_detail().decode()}")

    def define(self, kind, name, labels=(), bounds=(), **more):
        metric = Metric(name=name.encode(), help=more.pop("help", "Help.").encode(), type=kind, n_bounds=len(bounds),
                        labels=strings(labels), bounds=(ctypes.c_double * len(bounds))(*bounds), **more)
        family = ctypes.c_void_p()
        self.must(self.library.libshm_family_define(self.segment, ctypes.byref(metric), ctypes.byref(family)))
        self.families[name] = family

    def add(self, name, values, n):
        if isinstance(n, int):
            self.library.libshm_counter_add_with(self.families[name], strings(values), ctypes.c_uint64(n))
        else:
            self.library.libshm_counter_add_double_with(self.families[name], strings(values), ctypes.c_double(n))

    def observe(self, name, values, v):
        self.library.libshm_histogram_observe_with(self.families[name], strings(values), ctypes.c_double(v))

    def set(self, name, values, v):
        self.library.libshm_gauge_set_with(self.families[name], strings(values), ctypes.c_double(v))

    def remove(self, name, values):
        self.must(self.library.libshm_series_remove(self.families[name], strings(values)))

    def close(self):
        self.library.libshm_close(self.segment)


def in_child(work):
    """Runs work() in a forked child, which ends with it whatever happens. Returns its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return pid


def run(program, *arguments, **more):
    """Exit code, standard output and error (as text)."""
    result = subprocess.run([os.path.join(BUILD, program), *arguments], stdin=subprocess.DEVNULL,
                            stdout=more.pop("stdout", subprocess.PIPE), stderr=subprocess.PIPE, timeout=SECONDS, **more)
    return result.returncode, (result.stdout or b"").decode("utf-8", "strict"), result.stderr.decode("utf-8", "strict")


def load_json(text):
    def refuse(word):
        raise ValueError(f"{word} is no JSON")
    return json.loads(text, parse_constant=refuse)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def patch(path, offset, data, seal=False):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)
        if seal:
            file.seek(0)
            identity = file.read(124)
            file.seek(124)
            file.write(struct.pack("<I", crc32c(identity)))


def compile_c(source, output):
    subprocess.run([*os.environ.get("CC", "cc").split(), "-std=gnu11", "-O1", "-I" + os.path.join(SOURCE, "include"),
                    source, "-o", output, os.path.join(BUILD, "libshm.a"), "-pthread"], check=True)


def equal(found, expected, what=""):
    if found != expected:
        raise AssertionError(f"{what}: found {found!r}, expected {expected!r}")


def contains(text, part):
    if part not in text:
        raise AssertionError(f"{part!r} is not in {text!r}")


def main(tests):
    """Runs test functions; each gets a directory of its own for segments."""
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for test in tests:
        directory = tempfile.mkdtemp(prefix="cli-", dir=os.environ.get("LIBSHM_DIR"))
        try:
            test(directory)
            counts["passed"] += 1
        except Skip as reason:
            print(f"skipped: {test.__name__}: {reason}")
            counts["skipped"] += 1
        except Exception:
            print(f"not ok: {test.__name__}")
            traceback.print_exc(file=sys.stdout)
            counts["failed"] += 1
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed" +
          (f", {counts['skipped']} skipped" if counts["skipped"] else ""))
    sys.exit(1 if counts["failed"] or not counts["passed"] else 0)
