#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each system call of the attach path fails once (strace -e inject), with each error that it may plausibly give, and once
from there on for good: the program goes on to its end, each call of the library gives 0 or an error with a text, what
was acknowledged is in the segment, the segment is sound, and the next program works. ROUNDS=N: only every N-th case."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
PROGRAM = os.path.join(BUILD, "tests/e2e/attach_program")
DEFAULT = ("ENOMEM", "EPERM")
ERRORS = {
    "openat": ("EMFILE", "EACCES", "ENOENT", "EINTR"),
    "mmap": ("ENOMEM",),
    "fallocate": ("ENOSPC", "EINTR", "EOPNOTSUPP"),
    "ftruncate": ("ENOSPC", "EINTR"),
    "fcntl": ("ENOLCK", "EAGAIN", "EINTR"),
    "linkat": ("ENOSPC", "EEXIST", "EPERM"),
    "newfstatat": ("EACCES", "ENOENT"),
    "fstat": ("EIO",),
    "close": ("EIO",),
    "munmap": ("EINVAL",),
}
CALL = re.compile(r"^(?:\d+ +)?([a-z_0-9]+)\(")
passed = failed = 0


def check(holds, case, why, shown=""):
    global passed, failed
    if holds:
        passed += 1
        return
    failed += 1
    print(f"not ok: {case}: {why}")
    print("".join(f"    {line}\n" for line in shown.splitlines()), end="")


def traced(directory, *options):
    """Runs the program under strace; returns its exit code, its output and the trace, None as code: it hung."""
    trace = os.path.join(directory, "trace")
    environment = dict(os.environ, LIBSHM_DIR=os.path.join(directory, "segments"))
    command = ["strace", "-qq", "-o", trace, *options, PROGRAM, "s"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        return None, "", ""
    with open(trace, encoding="utf-8", errors="replace") as file:
        return done.returncode, done.stdout, file.read()


def calls(trace):
    """(name, how many of that name there were with it) of each system call between the marks."""
    counts, found, inside = {}, [], False
    for line in trace.splitlines():
        match = CALL.match(line)
        if not match:
            continue
        name = match.group(1)
        counts[name] = counts.get(name, 0) + 1
        if name == "write" and '"begin\\n"' in line:
            inside = True
        elif name == "write" and '"end\\n"' in line:
            return found
        elif inside:
            found.append((name, counts[name]))
    raise AssertionError("no marks in the trace:\n" + trace)


def totals(directory):
    """The sums of the families' counts in the segment, by name."""
    environment = dict(os.environ, LIBSHM_DIR=os.path.join(directory, "segments"))
    dump = subprocess.run([os.path.join(BUILD, "shm-dump"), "--format=prometheus", "s"], env=environment,
                          capture_output=True, text=True)
    sums = {}
    for line in dump.stdout.splitlines() if dump.returncode == 0 else []:
        match = re.match(r"(c_total|h_count|l_total)(?:\{.*\})? (\S+)$", line)
        if match:
            sums[match.group(1)] = sums.get(match.group(1), 0) + float(match.group(2))
    return sums


def prepare(directory, attached_before):
    shutil.rmtree(os.path.join(directory, "segments"), ignore_errors=True)
    os.mkdir(os.path.join(directory, "segments"), 0o700)
    if attached_before:
        code, output, _ = traced(directory, "-e", "trace=none")
        assert code == 0, output


def fails(directory, case, inject, attached_before):
    prepare(directory, attached_before)
    before = totals(directory)
    code, output, trace = traced(directory, "-e", "inject=" + inject)
    check(code is not None, case, "it hangs")
    if code is None:
        return
    check(code == 0, case, f"exit code {code}", output)
    check("(INJECTED)" in trace, case, "nothing was injected", trace)
    answers = dict(re.findall(r"^(open|counter|gauge|histogram|family) (-?\d+.*)$", output, re.M))
    check(len(answers) == 5 and "updated 10" in output, case, "not every call answered", output)
    for name, answer in answers.items():
        check(re.fullmatch(r"0|-\d+ \S.{8,}", answer), case, f"{name}: an error without a text", output)
    after = totals(directory)
    for answer, name in (("counter", "c_total"), ("histogram", "h_count"), ("family", "l_total")):
        grown = after.get(name, 0) - before.get(name, 0)
        check(grown == (10 if answers.get(answer) == "0" else 0), case, f"{name} has grown by {grown:g}", output)
    again, output, _ = traced(directory, "-e", "trace=none")
    check(again == 0 and len(re.findall(r"^\w+ 0$", output, re.M)) == 5, case, "the next program does not work", output)
    verified = subprocess.run([os.path.join(BUILD, "shm-check"), os.path.join(directory, "segments", "s")],
                              capture_output=True, text=True)
    check(verified.returncode == 0, case, "shm-check", verified.stdout + verified.stderr)


def main():
    if subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True).returncode != 0:
        print("strace cannot trace here")
        return 77
    every = int(os.environ.get("ROUNDS", "1"))
    with tempfile.TemporaryDirectory() as directory:
        for attached_before, kind in ((False, "the first process"), (True, "a later process")):
            prepare(directory, attached_before)
            code, output, trace = traced(directory)
            check(code == 0 and len(re.findall(r"^\w+ 0$", output, re.M)) == 5, kind, "it does not work", output)
            found = calls(trace)
            check({"openat", "mmap", "fcntl"} <= {name for name, _ in found}, kind, "the calls of an attach are missing",
                  trace)
            cases = [(name, f"{name}:error={error}:when={count}")
                     for name, count in found for error in ERRORS.get(name, DEFAULT)]
            for name in dict.fromkeys(name for name, _ in found):
                first = min(count for other, count in found if other == name)
                cases.append((name, f"{name}:error={ERRORS.get(name, DEFAULT)[-1]}:when={first}+"))
            print(f"{kind}: {len(found)} system calls, {len(cases)} failures")
            for number, (_, inject) in enumerate(cases):
                if number % every == 0:
                    fails(directory, f"{kind}, {inject}", inject, attached_before)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
