#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The classes, as somebody uses them who knows those of prometheus_client."""
import asyncio
import decimal
import gc
import inspect
import itertools
import math
import os
import time
import unittest
import warnings

import support
import libshm
from libshm import Counter, Enum, Gauge, Histogram, Info, Summary

numbers = itertools.count()


class Case(unittest.TestCase):
    def setUp(self):
        self.registry = libshm.CollectorRegistry(segment=f"metrics{next(numbers) % 40}")
        self.addCleanup(self.forget)

    def forget(self):
        try:
            libshm.unlink(self.registry._segment.name, force=True)
        except FileNotFoundError:
            pass

    def text(self):
        return libshm.generate_latest(self.registry).decode()

    def values(self):
        return support.samples(self.text())


class Counters(Case):
    def test_integers_and_fractions_add_up(self):
        counter = Counter("requests", "Requests.", registry=self.registry)
        self.assertEqual(self.values(), {"requests_total": 0})
        counter.inc()
        counter.inc(2)
        counter.inc(amount=3)
        counter.inc(0.5)
        counter.inc(4.0)
        counter.inc(decimal.Decimal("0.25"))
        counter.inc(True)
        counter.inc(0)
        self.assertEqual(self.values(), {"requests_total": 11.75})

    def test_large_integers_stay_exact(self):
        counter = Counter("big_total", "Big.", registry=self.registry)
        counter.inc(2**53)
        counter.inc()
        self.assertIn(f"\nbig_total {2**53 + 1}\n", self.text())
        counter.inc(2**70)
        self.assertGreaterEqual(self.values()["big_total"], 2.0**70)

    def test_never_down(self):
        counter = Counter("down_total", "Down.", registry=self.registry)
        for amount in (-1, -0.5, -10**30, -math.inf):
            with self.assertRaisesRegex(ValueError, "non-negative"):
                counter.inc(amount)
        counter.inc(math.nan)
        self.assertEqual(self.values(), {"down_total": 0})
        for wrong in (None, "1", [], object()):
            with self.assertRaises(TypeError):
                counter.inc(wrong)
        with self.assertRaises(TypeError):
            counter.inc(1, 2, 3)
        with self.assertRaises(TypeError):
            counter.inc(value=1)

    def test_exemplars_are_refused(self):
        counter = Counter("exemplar_total", "No exemplars.", registry=self.registry)
        counter.inc(1, exemplar=None)
        with self.assertRaisesRegex(NotImplementedError, "exemplar"):
            counter.inc(1, exemplar={"trace_id": "1"})
        with self.assertRaisesRegex(NotImplementedError, "exemplar"):
            counter.inc(1, {"trace_id": "1"})
        self.assertEqual(self.values(), {"exemplar_total": 1})

    def test_reset(self):
        counter = Counter("reset_total", "Reset.", registry=self.registry)
        labelled = Counter("reset_labelled_total", "Reset.", ["a"], registry=self.registry)
        counter.inc(5)
        labelled.labels("x").inc(5)
        labelled.labels("y").inc(5)
        counter.reset()
        labelled.labels("x").reset()
        self.assertEqual(self.values(), {"reset_total": 0, 'reset_labelled_total{a="x"}': 0,
                                         'reset_labelled_total{a="y"}': 5})
        counter.inc()
        labelled.labels("x").inc(2)
        self.assertEqual(self.values()["reset_total"], 1)
        self.assertEqual(self.values()['reset_labelled_total{a="x"}'], 2)

    def test_count_exceptions(self):
        counter = Counter("exceptions_total", "Exceptions.", registry=self.registry)

        @counter.count_exceptions(ValueError)
        def raising(error):
            raise error

        @counter.count_exceptions()
        async def raising_later(error):
            await asyncio.sleep(0)
            raise error

        for function, error in ((raising, ValueError("x")), (raising, KeyError("x"))):
            with self.assertRaises(type(error)):
                function(error)
        with self.assertRaises(KeyError):
            asyncio.run(raising_later(KeyError("x")))
        with self.assertRaises(OSError), counter.count_exceptions((OSError, TypeError)):
            raise OSError
        with counter.count_exceptions():
            pass
        self.assertEqual(self.values(), {"exceptions_total": 3})


class Gauges(Case):
    def test_shared_by_default(self):
        gauge = Gauge("level", "Level.", registry=self.registry)
        gauge.set(4.5)
        gauge.inc()
        gauge.inc(amount=2)
        gauge.dec(0.5)
        gauge.dec()
        self.assertEqual(self.values(), {"level": 6})
        gauge.set("1.5")
        gauge.set(value=-3)
        self.assertEqual(self.values(), {"level": -3})
        gauge.set(-math.inf)
        self.assertIn("\nlevel -Inf\n", self.text())
        with self.assertRaises(TypeError):
            gauge.set()
        with self.assertRaises(TypeError):
            gauge.set(None)

    def test_every_mode(self):
        expected = {"all": "liveall", "min": "livemin", "max": "livemax", "sum": "livesum", "mostrecent": "shared"}
        for mode, same in expected.items():
            first = Gauge(f"mode_{mode}", "Mode.", registry=self.registry, multiprocess_mode=mode)
            Gauge(f"mode_{mode}", "Mode.", registry=self.registry, multiprocess_mode=same).set(3)
            first.inc()
        values = self.values()
        self.assertEqual([name for name in values if name.startswith("mode_all")],
                         [f'mode_all{{pid="{os.getpid()}"}}'])
        self.assertEqual(set(values.values()), {4})
        with self.assertRaisesRegex(ValueError, "Invalid multiprocess mode: livelast; there are all, liveall"):
            Gauge("mode_wrong", "Mode.", registry=self.registry, multiprocess_mode="livelast")

    def test_time_and_current_time(self):
        gauge = Gauge("at_seconds", "At.", registry=self.registry)
        before = time.time()
        gauge.set_to_current_time()
        self.assertTrue(before <= self.values()["at_seconds"] <= time.time())
        with gauge.time():
            pass
        self.assertLess(self.values()["at_seconds"], 60)
        with self.assertRaisesRegex(NotImplementedError, "call set"):
            gauge.set_function(lambda: 1)

    def test_in_progress(self):
        gauge = Gauge("running", "Running.", registry=self.registry, multiprocess_mode="livesum")
        seen = []

        @gauge.track_inprogress()
        def function(depth):
            seen.append(self.values()["running"])
            if depth:
                function(depth - 1)
            else:
                raise KeyError

        with self.assertRaises(KeyError):
            function(2)
        with gauge.track_inprogress(), gauge.track_inprogress():
            seen.append(self.values()["running"])
        self.assertEqual(seen, [1, 2, 3, 2])
        self.assertEqual(self.values()["running"], 0)


class Distributions(Case):
    def test_histogram(self):
        histogram = Histogram("size", "Size.", ["kind"], registry=self.registry, buckets=(0.1, 1, 2.5, 1e6, math.inf))
        child = histogram.labels(kind="a")
        for value in (0.05, 0.1, 1, 2, 3, 1e7):
            child.observe(value)
        child.observe(math.nan)
        self.assertEqual(self.text(), """# HELP size Size.
# TYPE size histogram
size_bucket{kind="a",le="0.1"} 2
size_bucket{kind="a",le="1.0"} 3
size_bucket{kind="a",le="2.5"} 4
size_bucket{kind="a",le="1e+06"} 5
size_bucket{kind="a",le="+Inf"} 6
size_sum{kind="a"} 10000006.15
size_count{kind="a"} 6
""")

    def test_default_buckets_are_those_of_client_python(self):
        Histogram("default_seconds", "Default.", registry=self.registry).observe(0.3)
        import prometheus_client
        self.assertEqual(Histogram.DEFAULT_BUCKETS, prometheus_client.Histogram.DEFAULT_BUCKETS)
        self.assertEqual(len(self.values()), len(Histogram.DEFAULT_BUCKETS) + 2)

    def test_wrong_buckets(self):
        for buckets in ((2, 1), (1, 1), (), (math.inf,), (1, math.nan, 2), tuple(range(300))):
            with self.assertRaises(ValueError):
                Histogram("wrong", "Wrong.", registry=self.registry, buckets=buckets)

    def test_summary(self):
        summary = Summary("wait_seconds", "Wait.", registry=self.registry, unit="seconds")
        summary.observe(2)
        summary.observe(amount=0.5)
        self.assertEqual(self.values(), {"wait_seconds_count": 2, "wait_seconds_sum": 2.5})

    def test_timers(self):
        histogram = Histogram("call_seconds", "Call.", ["way"], registry=self.registry, buckets=(60,))

        @histogram.labels("function").time()
        def function():
            "Its text."
            return 1

        @histogram.labels("coroutine").time()
        async def coroutine():
            await asyncio.sleep(0.05)
            return 2

        @histogram.labels("generator").time()
        def generator():
            yield 3
            return 4

        @histogram.labels("async_generator").time()
        async def async_generator():
            yield 5

        self.assertEqual(function(), 1)
        self.assertEqual((function.__name__, function.__doc__), ("function", "Its text."))
        self.assertTrue(inspect.iscoroutinefunction(coroutine))

        async def everything():
            return await asyncio.gather(coroutine(), coroutine()), [value async for value in async_generator()]

        self.assertEqual(asyncio.run(everything()), ([2, 2], [5]))
        self.assertEqual(list(generator()), [3])
        with histogram.labels("block").time():
            pass
        with histogram.time() as timer:
            timer.labels("named inside")
        values = self.values()
        for way, count in (("function", 1), ("coroutine", 2), ("generator", 1), ("async_generator", 1), ("block", 1),
                           ("named inside", 1)):
            self.assertEqual(values[f'call_seconds_count{{way="{way}"}}'], count)
        self.assertGreaterEqual(values['call_seconds_sum{way="coroutine"}'], 0.1)


class Labels(Case):
    def test_by_place_and_by_name(self):
        counter = Counter("calls", "Calls.", ("method", "code"), registry=self.registry)
        child = counter.labels("GET", 200)
        self.assertIs(child, counter.labels(code="200", method="GET"))
        self.assertIs(child, counter.labels(**{"".join(["co", "de"]): 200, "".join(["meth", "od"]): "GET"}))
        self.assertIsInstance(child, Counter)
        self.assertEqual((child._labelvalues, child._labelnames), (("GET", "200"), ("method", "code")))
        child.inc()
        counter.labels(None, 2.0).inc(3)
        self.assertEqual(self.values(), {'calls_total{code="200",method="GET"}': 1,
                                         'calls_total{code="2.0",method="None"}': 3})

    def test_a_child_is_there_from_the_start(self):
        Counter("a_total", "A.", ["x"], registry=self.registry).labels("1")
        Histogram("b", "B.", ["x"], registry=self.registry, buckets=[1]).labels("1")
        Gauge("c", "C.", ["x"], registry=self.registry).labels("1")
        self.assertEqual(set(self.values().values()), {0})
        self.assertEqual(len(self.values()), 6)

    def test_mistakes(self):
        counter = Counter("mistakes", "Mistakes.", ["a", "b"], registry=self.registry)
        plain = Counter("plain", "Plain.", registry=self.registry)
        for call, message in (
                (lambda: counter.labels("1"), "Incorrect label count"),
                (lambda: counter.labels(), "Incorrect label count"),
                (lambda: counter.labels("1", "2", "3"), "Incorrect label count"),
                (lambda: counter.labels(a="1"), "Incorrect label names"),
                (lambda: counter.labels(a="1", c="2"), "Incorrect label names"),
                (lambda: counter.labels("1", b="2"), r"both \*args and \*\*kwargs"),
                (lambda: counter.labels("1", "2").labels("1", "2"), "already has labels"),
                (lambda: plain.labels("1"), "No label names were set"),
                (lambda: plain.remove("1"), "No label names were set"),
                (lambda: counter.remove("1"), "Incorrect label count"),
                (lambda: counter.inc(), "counter metric is missing label values"),
                (lambda: counter.count_exceptions(), "missing label values"),
                (lambda: counter.labels("\ud800", "x"), "surrogates"),
                (lambda: counter.labels("nul\0", "x"), "null"),
                (lambda: counter.labels("x" * 1025, "x"), "at most 1024"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                call()
        self.assertEqual(self.values(), {'mistakes_total{a="1",b="2"}': 0, "plain_total": 0})

    def test_text_is_escaped(self):
        counter = Counter("odd", 'A \\ and a\nline "end".', ["text"], registry=self.registry)
        counter.labels('\\ " \n # { } = ,').inc()
        counter.labels("späß 雪").inc(2)
        from prometheus_client.parser import text_string_to_metric_families
        family, = text_string_to_metric_families(self.text())
        self.assertEqual(family.documentation, 'A \\ and a\nline "end".')
        self.assertEqual({sample.labels["text"]: sample.value for sample in family.samples},
                         {'\\ " \n # { } = ,': 1, "späß 雪": 2})

    def test_remove_and_clear(self):
        counter = Counter("gone", "Gone.", ["x", "y"], registry=self.registry)
        child = counter.labels("1", "2")
        child.inc(5)
        counter.labels("3", "4").inc()
        self.assertEqual(sorted(counter.label_sets()), [("1", "2"), ("3", "4")])
        counter.remove(1, 2)
        self.assertEqual(self.values(), {'gone_total{x="3",y="4"}': 1})
        with self.assertRaises(KeyError):
            counter.remove(1, 2)
        child.inc(7)  # comes back, from zero
        self.assertEqual(self.values()['gone_total{x="1",y="2"}'], 7)
        counter.clear()
        self.assertEqual((self.values(), counter.label_sets()), ({}, []))
        counter.labels("1", "2").inc()
        self.assertEqual(self.values(), {'gone_total{x="1",y="2"}': 1})

    def test_children_do_not_pile_up(self):
        counter = Counter("many", "Many.", ["x"], registry=self.registry, max_series=50)
        for i in range(5000):
            counter.labels(str(i)).inc()
        gc.collect()
        children = sum(1 for thing in gc.get_objects() if type(thing) is Counter and thing._labelvalues)
        self.assertLessEqual(children, 101)
        values = self.values()
        self.assertEqual(sum(values.values()), 5000)
        self.assertEqual(len(values), 51)
        self.assertEqual(values['many_total{x="overflow"}'], 4950)

    def test_metrics_are_collected(self):
        before = len(gc.get_objects())
        for _ in range(100):
            counter = Counter("cyclic", "Cyclic.", ["x"], registry=self.registry)
            counter.labels("1").inc()
            del counter
        gc.collect()
        self.assertLess(len(gc.get_objects()), before + 200)


class InfoAndEnum(Case):
    def test_info(self):
        info = Info("build", "Build.", registry=self.registry)
        info.info({"version": "1.2", "commit": "abc"})
        info.info({"version": "1.3", "commit": "def"})
        self.assertEqual(self.values(), {'build_info{commit="def",version="1.3"}': 1})
        with self.assertRaisesRegex(ValueError, "cannot become"):
            info.info({"branch": "main"})
        labelled = Info("host", "Host.", ["name"], registry=self.registry)
        labelled.labels("a").info({"os": "x"})
        labelled.labels(name="b").info({"os": "y"})
        labelled.labels("a").info({"os": "z"})
        self.assertEqual({name for name in self.values() if name.startswith("host")},
                         {'host_info{name="a",os="z"}', 'host_info{name="b",os="y"}'})
        with self.assertRaisesRegex(ValueError, "Overlapping"):
            labelled.labels("a").info({"name": "x"})
        labelled.remove("a")
        self.assertEqual(len(self.values()), 2)
        with self.assertRaisesRegex(ValueError, "missing label values"):
            labelled.info({"os": "x"})

    def test_enum(self):
        state = Enum("phase", "Phase.", registry=self.registry, states=["starting", "running", "stopped"])
        self.assertEqual(self.values(), {'phase{phase="starting"}': 1, 'phase{phase="running"}': 0,
                                         'phase{phase="stopped"}': 0})
        state.state("running")
        Enum("phase", "Phase.", registry=self.registry, states=["starting", "running", "stopped"])  # another process
        self.assertEqual(self.values(), {'phase{phase="starting"}': 0, 'phase{phase="running"}': 1,
                                         'phase{phase="stopped"}': 0})
        with self.assertRaises(ValueError):
            state.state("exploded")
        with self.assertRaisesRegex(ValueError, "No states"):
            Enum("stateless", "None.", registry=self.registry)
        labelled = Enum("door", "Door.", ["room"], registry=self.registry, states=["open", "shut"])
        labelled.labels("a").state("shut")
        labelled.labels("b")
        self.assertEqual(self.values()['door{door="open",room="b"}'], 1)
        self.assertEqual(self.values()['door{door="shut",room="a"}'], 1)


class Definitions(Case):
    def test_names(self):
        for kind, arguments, expected in (
                (Counter, {"name": "a"}, "a_total"), (Counter, {"name": "a_total"}, "a_total"),
                (Counter, {"name": "b", "unit": "seconds"}, "b_seconds_total"),
                (Counter, {"name": "c_seconds_total", "unit": "seconds"}, "c_seconds_total"),
                (Gauge, {"name": "d", "namespace": "n", "subsystem": "s", "unit": "bytes"}, "n_s_d_bytes"),
                (Summary, {"name": "e"}, "e")):
            metric = kind(documentation="Help.", registry=self.registry, **arguments)
            self.assertEqual(metric._name, expected)
            self.assertIn(f"# HELP {expected} Help.\n", self.text())

    def test_wrong_names_and_labels(self):
        for arguments in ({"name": "1x"}, {"name": "x-y"}, {"name": ""}, {"name": "x y"}, {"name": "x" * 300},
                          {"name": "x", "labelnames": ["le"]}, {"name": "x", "labelnames": ["__x"]},
                          {"name": "x", "labelnames": ["a", "a"]}, {"name": "x", "labelnames": ["a-b"]},
                          {"name": "x", "labelnames": "abc"}, {"name": "x", "labelnames": [f"l{i}" for i in range(17)]},
                          {"name": "x", "registry": None}):
            with self.assertRaises(ValueError, msg=str(arguments)):
                Counter(**{"documentation": "X.", "registry": self.registry, **arguments})
        with self.assertRaises(TypeError):
            Counter("x", "X.", registry=object())
        with self.assertRaises(TypeError):
            Counter("x", "X.", labelnames=[1], registry=self.registry)
        with self.assertRaisesRegex(ValueError, "unit"):
            Info("x", "X.", unit="bytes", registry=self.registry)
        with self.assertRaises(ValueError):
            Counter("x", "X.", registry=libshm.CollectorRegistry(segment="no/slash"))

    def test_the_same_definition_twice_is_one_metric(self):
        for _ in range(2):
            Counter("twice", "Twice.", ["a"], registry=self.registry).labels("x").inc()
        self.assertEqual(self.values(), {'twice_total{a="x"}': 2})

    def test_another_definition_of_the_name(self):
        Histogram("thing", "Thing.", ["a"], registry=self.registry, buckets=[1, 2])
        for make in (lambda: Histogram("thing", "Thing.", ["b"], registry=self.registry, buckets=[1, 2]),
                     lambda: Histogram("thing", "Thing.", ["a"], registry=self.registry, buckets=[1, 3]),
                     lambda: Gauge("thing", "Thing.", ["a"], registry=self.registry)):
            with self.assertRaisesRegex(ValueError, "thing is defined as histogram .*; this definition is "):
                make()
        with self.assertRaisesRegex(ValueError, "thing_count"):
            Gauge("thing_count", "Count.", registry=self.registry)

    def test_a_segment_that_cannot_be_had_takes_nobody_down(self):
        registry = libshm.CollectorRegistry(segment="x", directory="/proc/no/such/directory")
        with self.assertWarnsRegex(RuntimeWarning, "lost_total does nothing"):
            counter = Counter("lost_total", "Lost.", registry=registry)
        before = libshm.lost_updates()
        counter.inc()
        counter.inc(2)
        self.assertEqual(libshm.lost_updates(), before + 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            labelled = Counter("lost_labelled_total", "Lost.", ["a"], registry=registry)
            labelled.labels("x").inc()
        self.assertEqual(libshm.generate_latest(registry), b"")

    def test_registry(self):
        counter = Counter("in_total", "In.", ["a"], registry=self.registry)
        counter.labels("x").inc(3)
        Histogram("h", "H.", registry=self.registry, buckets=[1]).observe(0.5)
        self.assertEqual(self.registry.get_sample_value("in_total", {"a": "x"}), 3)
        self.assertEqual(self.registry.get_sample_value("h_bucket", {"le": "1.0"}), 1)
        self.assertIsNone(self.registry.get_sample_value("in_total"))
        self.assertEqual({metric.name: metric.type for metric in self.registry.collect()},
                         {"in": "counter", "h": "histogram"})
        self.assertEqual([metric.name for metric in counter.collect()], ["in"])
        only = self.registry.restricted_registry(["h_count"])
        self.assertEqual(libshm.generate_latest(only), b"# HELP h H.\n# TYPE h histogram\nh_count 1\n")
        self.assertEqual([sample.name for metric in only.collect() for sample in metric.samples], ["h_count"])
        self.registry.register(counter)
        for call in (lambda: self.registry.register(object()), lambda: self.registry.unregister(counter)):
            with self.assertRaises(NotImplementedError):
                call()
        self.registry.set_target_info({"env": "test"})
        self.assertEqual(self.values()['target_info{env="test"}'], 1)
        self.registry.reset()
        self.assertEqual(self.registry.get_sample_value("in_total", {"a": "x"}), 0)

    def test_what_is_not_there_says_so(self):
        with self.assertRaisesRegex(AttributeError, "push_to_gateway: post generate_latest"):
            libshm.push_to_gateway
        with self.assertRaises(AttributeError):
            libshm.nonsense

    def test_undefined_objects(self):
        raw = Counter.__new__(Counter)
        for call in (raw.inc, raw.clear, lambda: raw.labels("x"), lambda: raw.remove("x"), raw.reset):
            with self.assertRaises(ValueError):
                call()
        repr(raw)


if __name__ == "__main__":
    support.main()
