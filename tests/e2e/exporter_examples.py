#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every configuration of examples/prometheus/ with real Prometheus servers: only addresses and intervals are others."""
import os
import re

from exporter_harness import HERE, main
from prometheus_harness import Prometheus

EXAMPLES = os.path.join(HERE, "../../examples/prometheus")
SHOP, SHOP2 = (("segment", "shop"),), (("segment", "shop2"),)


def example(name, exporter=None, server=None):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        text = file.read()
    for what, address in ("127.0.0.1:9464", exporter), ("127.0.0.1:9090", server):
        assert (what in text) == bool(address), (name, what)
        if address:
            text = text.replace(what, address.address)
    return re.sub(r"(scrape_interval|refresh_interval): \d+s", r"\1: 200ms", text)


def fill(place, segment, value):
    writer = place.writer(segment)
    writer("define", "counter", "orders_total")
    writer("add", "orders_total", value)
    writer("define", "histogram", "wait_seconds", "-", "0.1,1")
    writer("observe", "wait_seconds", "0.5")
    return writer


def test_server(place):
    writer = fill(place, "shop", 5)
    with place.exporter() as exporter, Prometheus(place, example("server.yml", exporter)) as server:
        server.wait_for('up{job="shm"}', {(): 1.0})
        server.wait_for("orders_total", {SHOP: 5.0})
        writer("add", "orders_total", 2)
        server.wait_for("orders_total", {SHOP: 7.0})
        server.wait_for("histogram_quantile(0.5, sum by (le) (wait_seconds_bucket))", {(): 0.55})


def test_agent(place):
    writer = fill(place, "shop", 5)
    with place.exporter() as exporter, \
            Prometheus(place, example("receiver.yml"), "--web.enable-remote-write-receiver") as receiver, \
            Prometheus(place, example("agent.yml", exporter, receiver), agent=True):
        labels = (("machine", "worker-1"), *SHOP)
        receiver.wait_for('orders_total{job="shm"}', {labels: 5.0})
        writer("add", "orders_total", 2)
        receiver.wait_for('orders_total{job="shm"}', {labels: 7.0})
        receiver.wait_for('up{job="shm"}', {labels[:1]: 1.0})


def test_federation(place):
    writer = fill(place, "shop", 5)
    with place.exporter() as exporter, Prometheus(place, example("server.yml", exporter)) as server, \
            Prometheus(place, example("federation.yml", server=server)) as over:
        over.wait_for(f'orders_total{{job="shm",instance="{exporter.address}"}}', {SHOP: 5.0})
        writer("add", "orders_total", 2)
        over.wait_for('orders_total{job="shm"}', {SHOP: 7.0})


def test_http_sd(place):
    fill(place, "shop", 5)
    with place.exporter() as exporter, Prometheus(place, example("http_sd.yml", exporter)) as server:
        server.wait_for(f'up{{instance="{exporter.address}/shop"}}', {(): 1.0})
        server.wait_for(f'orders_total{{instance="{exporter.address}/shop"}}', {SHOP: 5.0})
        fill(place, "shop2", 9)  # and what comes later
        server.wait_for(f'orders_total{{instance="{exporter.address}/shop2"}}', {SHOP2: 9.0})
        server.wait_for("count(orders_total)", {(): 2.0})
        os.unlink(place.path("shop2"))
        server.wait_for(f'up{{instance="{exporter.address}/shop2"}}', {})


def test_there_is_a_test_for_each(place):
    with open(__file__, encoding="utf-8") as file:
        tested = set(re.findall(r'example\("([^"]+)"', file.read()))
    assert tested == {name for name in os.listdir(EXAMPLES) if name.endswith(".yml")}


main()
