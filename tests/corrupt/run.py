#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Damages a segment in every numbered way and looks at what the programs make of it.

    run.py [--tools] [--exporter] [--kinds=FIRST-LAST] [--keep]

Whatever is damaged, each program ends by itself in time, with a clear message, and what it prints is well formed; what
the damage cannot reach is served as before (see fields.h for how far each field reaches); shm-check finds what cannot
be right. Environment: BUILD, CC, CFLAGS, LIBSHM_DIR, TMPDIR.
"""
import argparse
import json
import os
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("BUILD", os.path.join(SOURCE, "build"))
BATCH = 100
SECONDS = 60
MEMORY = 1 << 30  # a huge count must not become a huge allocation

failed = {}
passed = 0


def fail(kind, what, text=""):
    failed.setdefault(kind, []).append(what + (": " + text.strip()[-600:] if text else ""))


def compile_programs(directory):
    compiler = shlex.split(os.environ.get("CC", "cc")) + shlex.split(os.environ.get("CFLAGS", ""))
    flags = ["-std=gnu11", "-O1", "-g", "-I" + os.path.join(SOURCE, "include"), "-I" + SOURCE]
    common = [os.path.join(SOURCE, "tools", name) for name in sorted(os.listdir(os.path.join(SOURCE, "tools")))
              if name.startswith("common") and name.endswith(".c")]
    for name, sources in (("base", []), ("badshm", common)):
        subprocess.run(compiler + flags + [os.path.join(HERE, name + ".c")] + sources +
                       ["-o", os.path.join(directory, name), os.path.join(BUILD, "libshm.a"), "-pthread"], check=True)


def run(program, *arguments):
    """Exit code, standard output and error of a program in BUILD. None: it did not end."""
    try:
        result = subprocess.run([os.path.join(BUILD, program), *arguments], capture_output=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return None, b"", b""
    return result.returncode, result.stdout, result.stderr


def strict_json(data):
    def refuse(word):
        raise ValueError(f"{word} is no JSON")
    return json.loads(data.decode("utf-8", "strict"), parse_constant=refuse)


def families_of(document):
    """What is compared of a dump: by name, the definition, and the series by label values."""
    families = {}
    for family in document["families"]:
        series = {json.dumps([s["labels"], s.get("process")]):
                  [s.get("value"), s.get("count"), s.get("sum"), s.get("buckets")] for s in family["series"]}
        families[family["name"]] = ([family["type"], family["help"], family["unit"], family["labels"],
                                     family.get("bounds"), family.get("mode")], series)
    return families


def expected_families(kind, base):
    """Names of the families that the damage cannot reach."""
    if kind["reach"] == "NOTHING":
        return set(base)
    if kind["reach"] == "VICTIMS":
        return {name for name in base if not name.startswith("victim_")}
    if kind["reach"] == "LIVE":
        return {name for name in base if "_live" not in name}
    if kind["reach"] in ("ENTRY", "GROUP"):
        return set(base) - set(kind["hit"].split(","))
    return set()


def check_message(kind, program, code, error):
    text = error.decode("utf-8", "replace")
    if code == 1 and not text.startswith(program + ": "):
        fail(kind["name"], f"{program} ends with 1 and no message", text)
    if re.search(r"[^\n -~\u00a0-\uffff]", text) or "\ufffd" in text:
        fail(kind["name"], f"{program}: unsafe characters in the message", repr(text))


def judge_json(kind, base, path):
    code, output, error = run("shm-dump", "--format=json", "--cells", path)
    if code not in (0, 1):
        return fail(kind["name"], f"shm-dump --format=json ends with {code}", error.decode("utf-8", "replace"))
    check_message(kind, "shm-dump", code, error)
    if kind["reach"] == "IDENTITY" and code != 1:
        fail(kind["name"], "shm-dump does not refuse it")
    expected = expected_families(kind, base)
    if not output:
        if expected:
            fail(kind["name"], f"shm-dump shows nothing, {len(expected)} families are sound", error.decode())
        return None
    try:
        found = families_of(strict_json(output))
    except (ValueError, KeyError) as problem:
        return fail(kind["name"], "shm-dump --format=json", str(problem))
    compare(kind, base, expected, found)
    return None


def compare(kind, base, expected, found):
    for name in sorted(expected):
        if name not in found:
            fail(kind["name"], f"family {name} is not shown")
        elif found[name][0] != base[name][0]:
            fail(kind["name"], f"family {name} is shown as {found[name][0]}")
        else:
            for labels, values in base[name][1].items():
                if found[name][1].get(labels) != values:
                    fail(kind["name"], f"{name} {labels} is {found[name][1].get(labels)}, not {values}")
    for name in set(found) - set(base):
        if name not in kind["hit"]:  # a damaged length can leave a part of a name
            fail(kind["name"], f"family {name!r} came into being")


def well_formed(kind, who, output, names):
    """The exposition text, judged by another parser; a sample of a family that was not in the segment is injected."""
    try:
        for family in text_string_to_metric_families(output.decode("utf-8", "strict")):
            name = family.name + ("_total" if family.type == "counter" else "")
            if names is not None and name not in names and name not in kind["hit"]:
                fail(kind["name"], f"{who}: family {name!r} came into being")
    except (ValueError, UnicodeDecodeError) as problem:
        fail(kind["name"], f"{who}: not well formed", str(problem))


def judge_tools(kind, base, path):
    judge_json(kind, base, path)
    if int(kind["number"]) % 2:  # the other two formats by turns
        code, output, error = run("shm-dump", "--format=prometheus", path)
        well_formed(kind, "shm-dump --format=prometheus", output, set(base))
    else:
        code, output, error = run("shm-dump", "--cells", path)
        text = output.decode("utf-8", "replace")
        if re.search(r"[^\n -~\u00a0-\uffff]", text) or "\ufffd" in text:
            fail(kind["name"], "shm-dump prints unsafe characters")
    if code not in (0, 1):
        fail(kind["name"], f"shm-dump ends with {code}", error.decode("utf-8", "replace"))
    code, output, error = run("shm-check", path)
    if code not in (0, 1):
        fail(kind["name"], f"shm-check ends with {code}", error.decode("utf-8", "replace"))
    if code == 0 and kind["found"] in ("ALWAYS", "OUTSIDE"):
        fail(kind["name"], "shm-check does not find it")
    if code == 1 and not re.search(rb": offset \d+ \(0x[0-9a-f]+\): |: offset 0 \(0\): ", output) and b": " not in error:
        fail(kind["name"], "shm-check does not say where", output.decode("utf-8", "replace"))


class Exporter:
    """shm-exporter on a directory; its address is in the log."""

    def __init__(self, directory):
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "shm-exporter"), "--web.listen-address=127.0.0.1:0", "--shm.dir=" + directory],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.port = None
        for line in self.process.stderr:
            found = re.search(rb"127\.0\.0\.1:(\d+)", line)
            if found and int(found.group(1)):
                self.port = int(found.group(1))
                break
        self.log = []
        self.reader = threading.Thread(target=self.read_log)
        self.reader.start()

    def read_log(self):
        for line in self.process.stderr:
            self.log.append(line)
            del self.log[:-200]

    def scrape(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=60) as answer:
            return answer.read()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(10)
        self.reader.join()
        return code


def lines_by_segment(output):
    """Sample lines without their label `segment`, as sets by segment; the order of labels does not matter."""
    segments = {}
    for line in output.decode("utf-8", "strict").splitlines():
        found = re.match(r'(\w+)\{(.*)\} (\S+)$', line)
        if not found or line.startswith("#"):
            continue
        labels = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found.group(2))
        segment = dict(labels).get("segment")
        rest = tuple(sorted((name, value) for name, value in labels if name != "segment"))
        segments.setdefault(segment, set()).add((found.group(1), rest, found.group(3)))
    return segments


def family_of(sample, base):
    for suffix in ("", "_bucket", "_sum", "_count"):
        if sample.endswith(suffix) and sample[:len(sample) - len(suffix)] in base:
            return sample[:len(sample) - len(suffix)]
    return sample


def judge_exporter(exporter, kinds, base, everything):
    try:
        output = exporter.scrape()
    except OSError as problem:
        names = kinds[0]["name"] + " to " + kinds[-1]["name"]
        return fail(names, f"shm-exporter does not answer (exit code {exporter.process.poll()})", str(problem))
    own = re.compile(r"(shm_exporter_|shm_segment_|process_)")
    well_formed(kinds[0], "shm-exporter", output, None)
    segments = lines_by_segment(output)
    hit = {name for kind in kinds for name in kind["hit"].split(",")}
    for name in {family_of(line[0], base) for lines in segments.values() for line in lines} - set(base):
        if not own.match(name) and not any(name in other for other in hit):
            fail(kinds[0]["name"] + " to " + kinds[-1]["name"], f"shm-exporter: family {name!r} came into being")
    for kind in kinds:
        expected = expected_families(kind, base)
        wanted = {line for line in everything if family_of(line[0], base) in expected}
        missing = wanted - segments.get(f"d{kind['number']}", set())
        if missing:
            fail(kind["name"], f"shm-exporter does not serve {len(missing)} of {len(wanted)} sound samples, "
                 f"e.g. {sorted(missing)[0]}")
        if kind["reach"] == "IDENTITY" and any(not own.match(line[0])
                                               for line in segments.get(f"d{kind['number']}", ())):
            fail(kind["name"], "shm-exporter does not refuse it")
    return None


def main():
    global passed
    parser = argparse.ArgumentParser()
    parser.add_argument("--tools", action="store_true")
    parser.add_argument("--exporter", action="store_true")
    parser.add_argument("--kinds", default="1-1000000")
    parser.add_argument("--keep", action="store_true", help="keep the damaged segments of kinds that failed")
    options = parser.parse_args()
    first, last = (int(n) for n in options.kinds.split("-"))
    scratch = tempfile.mkdtemp(prefix="corrupt-")
    segments = tempfile.mkdtemp(prefix="corrupt-", dir=os.environ.get("LIBSHM_DIR"))
    exporter = None
    try:
        compile_programs(scratch)
        subprocess.run([os.path.join(scratch, "base"), segments, "sound"], check=True, stdout=subprocess.DEVNULL)
        sound = os.path.join(segments, "sound")
        code, output, error = run("shm-dump", "--format=json", "--cells", sound)
        if code != 0:
            sys.exit(f"shm-dump ends with {code} on the sound segment: {error.decode()}")
        base = families_of(strict_json(output))
        code, output, error = run("shm-check", sound)
        if code != 0:
            sys.exit(f"shm-check ends with {code} on the sound segment: {(output + error).decode()}")
        badshm = os.path.join(scratch, "badshm")
        listing = subprocess.run([badshm, sound, "list"], check=True, capture_output=True, text=True).stdout
        kinds = [dict(zip(("number", "name", "reach", "hit", "found"), line.split("\t")))
                 for line in listing.splitlines()]
        kinds = [kind for kind in kinds if first <= int(kind["number"]) <= last]
        everything = set()
        if options.exporter:
            exporter = Exporter(segments)
            everything = lines_by_segment(exporter.scrape())["sound"]
            everything = {line for line in everything if family_of(line[0], base) in base}
            if len(everything) < 60:
                sys.exit(f"shm-exporter serves {len(everything)} samples of the sound segment")
        if options.tools and "asan" not in BUILD:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
        for start in range(0, len(kinds), BATCH):
            batch = kinds[start:start + BATCH]
            subprocess.run([badshm, sound, batch[0]["number"], batch[-1]["number"], segments], check=True)
            if options.tools:
                for kind in batch:
                    judge_tools(kind, base, os.path.join(segments, "d" + kind["number"]))
            if options.exporter:
                judge_exporter(exporter, batch, base, everything)
                if exporter.process.poll() is not None:
                    break
            for kind in batch:
                if not (options.keep and kind["name"] in failed):
                    os.unlink(os.path.join(segments, "d" + kind["number"]))
        if exporter and exporter.process.poll() is None:
            everything_after = lines_by_segment(exporter.scrape()).get("sound", set())
            if not everything <= everything_after:
                fail("afterwards", "shm-exporter does not serve the sound segment as before")
            code = exporter.stop()
            if code != 0:
                fail("afterwards", f"shm-exporter ends with {code}", b"".join(exporter.log).decode())
        elif exporter:
            print(b"".join(exporter.log).decode("utf-8", "replace"))
        passed = len(kinds) - len(failed)
    finally:
        if exporter and exporter.process.poll() is None:
            exporter.process.kill()
        shutil.rmtree(scratch)
        if not options.keep:
            shutil.rmtree(segments)
    numbers = {kind["name"]: kind["number"] for kind in kinds}
    for name, problems in failed.items():
        print(f"not ok: {numbers.get(name, '-')} {name}")
        for problem in problems[:6]:
            print(f"    {problem}")
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
