// SPDX-License-Identifier: Apache-2.0
//
// What is to be seen: a family's row, the open family, processes, segments, tiles.

const $ = id => document.getElementById(id);
const RECENT = 30; // samples that "recent" quantiles are of

function kindOf(type) {
    return type === "counter" || type === "gauge" ? type : isDistribution(type) ? "histogram" : "other";
}

// What a family's or series' numbers come to: what stands out, and what stands below it.
function figures(family, raw, track, seriesCount) {
    const unit = unitOf(family), many = seriesCount > 1;
    if (family.type === "counter")
        return [formatRate(track.latest, unit), "total " + formatNumber(toNumber(raw.value), unit)];
    if (family.type === "histogram") {
        const counts = track.recent(RECENT), p = counts && quantile(family.bounds, counts, 0.5);
        if (Number.isFinite(p))
            return [formatRate(track.latest, ""), "p50 " + formatNumber(p, unit) + " · p99 " +
                    formatNumber(quantile(family.bounds, counts, 0.99), unit)];
    }
    if (isDistribution(family.type)) {
        const count = toNumber(raw.count);
        return [formatRate(track.latest, ""), digitsOf(count) + (count ? " · mean " + formatNumber(toNumber(raw.sum) / count, unit) : "")];
    }
    if (family.type === "gauge" || family.type === "unknown") {
        const value = toNumber(raw.value);
        if (!many)
            return [formatNumber(value, unit), unit === "timestamp" ? formatAge(state.now - value) + " ago" : ""];
        if (unit === "timestamp")
            return [formatNumber(toNumber(raw.max), unit), "latest of " + digitsOf(seriesCount)];
        return ["Σ " + formatNumber(value, unit), formatNumber(toNumber(raw.min), unit) + " … " + formatNumber(toNumber(raw.max), unit)];
    }
    return many ? [digitsOf(seriesCount), "series"] : [formatNumber(toNumber(raw.value), unit), ""];
}

function digitsOf(count) {
    return formatNumber(count, "");
}

// ---- the list of families ------------------------------------------------------------------------------------------

function makeFamilyRow() {
    const row = element("div", {class: "family"});
    row.parts = {
        stripe: element("i"), name: element("b"), help: element("span"), badge: element("span", {class: "badge"}),
        count: element("span", {class: "count"}), spark: element("canvas", {"aria-hidden": "true"}),
        figure: element("b"), below: element("span"),
    };
    const p = row.parts;
    row.append(p.stripe, element("div", {class: "what"}, element("div", {class: "title"}, p.name, p.badge, p.count), p.help),
               p.spark, element("div", {class: "figure"}, p.figure, p.below));
    return row;
}

function fillFamilyRow(row, item) {
    const {family, track} = item, p = row.parts;
    row.dataset.kind = kindOf(family.type);
    setText(p.name, family.name);
    setText(p.help, family.help || "no help text");
    setText(p.badge, family.type);
    setText(p.count, family.series_count === 1 ? "" : digitsOf(family.series_count) + " series");
    const [figure, below] = figures(family, family.total, track, family.series_count);
    setText(p.figure, figure);
    setText(p.below, below);
    drawSparkline(p.spark, track, state.now, track.span(state.interval, SERIES_HISTORY, state.now));
}

// ---- the open family -----------------------------------------------------------------------------------------------

class Detail {
    constructor(root, item, close) {
        const {family} = item, distribution = isDistribution(family.type);
        Object.assign(this, {root, item, series: new Map(), picked: null, pointers: new Map(), common: new Map()});
        this.title = element("h2", {tabindex: "-1"}, family.name);
        this.tags = element("div", {class: "tags"});
        this.caption = element("h3");
        this.canvas = this.chart("chart");
        this.heat = family.type === "histogram" ? this.chart("heat") : null;
        this.stats = element("dl", {class: "stats"});
        this.filter = element("input", {type: "search", placeholder: "Filter series by label", "aria-label": "Filter series",
                                        autocomplete: "off", spellcheck: "false", oninput: () => {
                                            this.rows.scrollTop = 0;
                                            this.list();
                                        }});
        this.order = element("select", {"aria-label": "Order of the series", onchange: () => this.list()},
                             ...[["labels", "by labels"], ["value", distribution ? "by count" : "by value"],
                                 ["rate", "by rate"]].filter(([key]) => key !== "rate" || isRate(family.type))
                                 .map(([value, text]) => element("option", {value}, text)));
        this.shown = element("span", {class: "shown"});
        this.rows = element("div", {class: "list series", id: "series", role: "listbox", tabindex: "0", "aria-label": "Series"});
        this.all = element("button", {type: "button", hidden: "", onclick: () => this.pick(null)}, "Show all series");
        root.replaceChildren(
            element("div", {class: "head"}, element("div", {}, this.title, element("p", {}, family.help)),
                    element("button", {type: "button", class: "close", "aria-label": "Close", title: "Close (Esc)", onclick: close}, "✕")),
            this.tags, this.stats,
            element("div", {class: "caption"}, this.caption, this.all));
        if (this.heat)
            root.append(this.heat, element("div", {class: "legend"},
                        ...QUANTILES.map((q, i) => element("span", {class: "line line" + i}, "p" + q * 100)),
                        element("span", {class: "ramp"}, "few", element("i"), "many")),
                        element("h3", {}, "Observations per second"));
        root.append(this.canvas, element("div", {class: "tools"}, this.filter, this.order, this.shown), this.rows);
        this.virtual = new VirtualList(this.rows, {
            rowHeight: 34, make: makeSeriesRow, fill: (row, one) => this.fillRow(row, one), key: one => one.id,
            chosen: one => this.pick(one === this.picked ? null : one),
            empty: () => this.message || (this.series.size ? "No series matches." : "No series yet."),
        });
        root.dataset.kind = kindOf(family.type);
        root.hidden = false;
    }

    chart(name) {
        const canvas = element("canvas", {class: name, role: "img", "aria-label": ""});
        canvas.addEventListener("pointermove", event => {
            this.pointers.set(canvas, {x: event.offsetX, y: event.offsetY});
            this.draw();
        });
        canvas.addEventListener("pointerleave", () => {
            this.pointers.delete(canvas);
            this.draw();
        });
        return canvas;
    }

    pick(one) {
        this.picked = one;
        this.virtual.selectedKey = one && one.id;
        if (one && this.heat && !one.track.columns) // from now on; what was before is not known
            one.track.columns = new Array(one.track.size);
        this.all.hidden = !one;
        this.update();
    }

    // The family as the exporter has just told it, with its series.
    take(family, time) {
        const keep = family.series.length <= 20000, columns = this.heat && family.series.length <= 100, seen = new Map();
        for (const raw of family.series) {
            const one = this.series.get(raw.id) || {
                id: raw.id, labels: raw.labels,
                text: Object.entries(raw.labels).map(([name, value]) => name + "=" + value).join(" "),
                track: new Track(family.type, keep ? SERIES_HISTORY : 2, columns),
            };
            one.raw = raw;
            one.track.push(time, raw);
            seen.set(raw.id, one);
        }
        this.series = seen;
        this.findCommon();
        if (this.picked && !seen.has(this.picked.id))
            this.pick(null);
        this.list();
    }

    // Labels that all series have with the same value are said once, above.
    findCommon() {
        const all = [...this.series.values()], common = new Map(all.length > 1 ? Object.entries(all[0].labels) : []);
        for (const one of all)
            for (const [name, value] of common)
                if (one.labels[name] !== value)
                    common.delete(name);
        if (common.size !== this.common.size)
            this.virtual.rows.forEach(row => row.shown = null);
        this.common = common;
    }

    list() {
        const words = this.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
        const found = [...this.series.values()].filter(one => words.every(word => one.text.toLowerCase().includes(word)));
        const number = {
            value: one => toNumber(one.raw.value ?? one.raw.count), rate: one => one.track.latest || 0,
        }[this.order.value];
        if (number)
            found.sort((a, b) => number(b) - number(a));
        else
            found.sort((a, b) => a.text < b.text ? -1 : a.text > b.text ? 1 : 0);
        setText(this.shown, found.length === this.series.size ? digitsOf(found.length) + " series"
            : digitsOf(found.length) + " of " + digitsOf(this.series.size));
        this.virtual.setItems(found);
    }

    fillRow(row, one) {
        if (row.shown !== one) {
            row.shown = one;
            const labels = Object.entries(one.labels).filter(([name]) => !this.common.has(name));
            row.parts.labels.replaceChildren(...(labels.length ? labels.map(([name, value]) =>
                element("span", {class: "label", title: name + "=" + value}, element("i", {}, name), value))
                : [element("span", {class: "label none"}, "no other label")]));
        }
        const [figure, below] = figures(this.item.family, one.raw, one.track, 1);
        setText(row.parts.figure, figure);
        setText(row.parts.below, below);
        drawSparkline(row.parts.spark, one.track, state.now, one.track.span(state.interval, SERIES_HISTORY, state.now));
    }

    update() {
        const {family} = this.item, unit = unitOf(family);
        const tags = [family.type, family.mode && family.mode !== "shared" ? "live, " + family.mode : null,
                      family.unit ? "unit " + family.unit : null, digitsOf(family.series_count) + " series",
                      family.own ? "of the exporter" : null];
        this.tags.replaceChildren(...tags.filter(Boolean).map((tag, i) =>
            element("span", i ? {} : {class: "badge", "data-kind": kindOf(family.type)}, tag)));
        this.tags.append(...[...this.common].map(([name, value]) => element("span", {class: "label"}, element("i", {}, name), value)));
        if (toNumber(family.overflowed) > 0)
            this.tags.append(element("span", {class: "warning"}, digitsOf(toNumber(family.overflowed)) + " look-ups beyond its cap"));
        const raw = this.picked ? this.picked.raw : family.total, track = this.track;
        const whose = this.picked ? this.picked.text : family.series_count > 1 ? "all series" : "";
        setText(this.caption, (this.heat ? "Observations by bucket" : isRate(family.type) ? "Rate" :
            family.series_count > 1 && !this.picked ? "Sum" : "Value") + (whose ? " — " + whose : ""));
        const stats = [];
        if (isDistribution(family.type)) {
            const count = toNumber(raw.count);
            stats.push(["rate", formatRate(track.latest, "")]);
            if (this.heat) {
                const recent = track.recent(RECENT), all = raw.buckets.map(toNumber);
                for (const q of QUANTILES)
                    stats.push(["p" + q * 100, formatNumber(quantile(family.bounds, recent || [], q), unit),
                                "all: " + formatNumber(quantile(family.bounds, all, q), unit)]);
            }
            stats.push(["mean", formatNumber(count ? toNumber(raw.sum) / count : NaN, unit), "of all"],
                       ["count", exact(raw.count)], ["sum", formatNumber(toNumber(raw.sum), unit)]);
        } else if (family.type === "counter") {
            const [, most] = range(track, state.now - state.interval * FAMILY_HISTORY);
            stats.push(["rate", formatRate(track.latest, unit)], ["highest rate", formatRate(most, unit)],
                       ["total", unit ? formatNumber(toNumber(raw.value), unit) : exact(raw.value)]);
        } else {
            const [low, high] = range(track, state.now - state.interval * FAMILY_HISTORY);
            stats.push([this.picked || family.series_count < 2 ? "value" : "sum", formatNumber(toNumber(raw.value), unit)],
                       ["lowest seen", formatNumber(Number.isFinite(low) ? low : NaN, unit)],
                       ["highest seen", formatNumber(Number.isFinite(high) ? high : NaN, unit)]);
        }
        this.stats.replaceChildren(...stats.map(([name, value, more]) =>
            element("div", {}, element("dt", {}, name), element("dd", {}, value), more ? element("dd", {class: "more"}, more) : null)));
        this.canvas.setAttribute("aria-label", stats.map(([name, value]) => name + " " + value).join(", "));
        if (this.heat)
            this.heat.setAttribute("aria-label", "Heat map; " + this.canvas.getAttribute("aria-label"));
        this.virtual.render();
        this.draw();
    }

    get track() {
        return this.picked ? this.picked.track : this.item.track;
    }

    draw() {
        const {family} = this.item, unit = unitOf(family), track = this.track;
        const span = track.span(state.interval, track.size, state.now);
        const rate = isDistribution(family.type) ? "" : unit;
        drawChart(this.canvas, track, state.now, span,
                  value => isRate(family.type) ? formatRate(value, rate) : formatNumber(value, unit), this.pointers.get(this.canvas));
        if (this.heat && track.columns)
            drawHeatMap(this.heat, track, family.bounds, state.now, span, state.interval, value => formatNumber(value, unit), this.pointers.get(this.heat));
    }
}

function makeSeriesRow() {
    const row = element("div", {class: "one"});
    row.parts = {labels: element("div", {class: "labels"}), spark: element("canvas", {"aria-hidden": "true"}),
                 figure: element("b"), below: element("span")};
    row.append(row.parts.labels, row.parts.spark, element("div", {class: "figure"}, row.parts.below, row.parts.figure));
    return row;
}

// ---- processes, segments, tiles ------------------------------------------------------------------------------------

function makeProcessRow() {
    const row = element("div", {class: "process"});
    row.parts = {name: element("b"), state: element("span", {class: "state"}), pid: element("span", {class: "number"}),
                 segment: element("span"), since: element("span")};
    row.append(...Object.values(row.parts));
    return row;
}

function fillProcessRow(row, process) {
    setText(row.parts.name, process.name || "unnamed");
    setText(row.parts.state, process.alive ? "alive" : "ended");
    row.parts.state.dataset.alive = process.alive;
    setText(row.parts.pid, String(process.pid));
    setText(row.parts.segment, process.segment);
    setText(row.parts.since, new Date(process.since * 1000).toISOString().replace("T", " ").slice(0, 19) + " · " +
            formatAge(state.now - process.since));
}

function meter(share) {
    const made = element("div", {class: "meter", role: "meter", "aria-label": "Space given out", "aria-valuemin": "0",
                                 "aria-valuemax": "100", "aria-valuenow": (share * 100).toFixed(1)}, element("i"));
    made.dataset.level = share > 0.95 ? "full" : share > 0.8 ? "high" : "fine";
    made.firstChild.style.width = Math.max(0.5, Math.min(100, share * 100)) + "%";
    return made;
}

function segmentCard(segment) {
    const head = element("div", {class: "head"}, element("h2", {}, segment.name),
                         element("span", {class: "state", "data-alive": segment.up}, segment.up ? "up" : "down"));
    if (!segment.up)
        return element("article", {class: "card"}, head, element("p", {class: "warning"}, segment.reason));
    const used = toNumber(segment.used_bytes), most = toNumber(segment.max_bytes), share = most ? used / most : 1;
    const facts = [["families", digitsOf(segment.families)], ["series", digitsOf(segment.series)], ["cells", digitsOf(segment.cells)],
                   ["processes", segment.processes_alive + " of " + segment.process_slots + " slots"],
                   ["CPU lanes", segment.cpu_lanes], ["file", formatNumber(toNumber(segment.allocated_bytes), "bytes")],
                   ["made", formatAge(state.now - segment.created) + " ago"], ["incarnation", segment.incarnation]];
    return element("article", {class: "card"}, head, meter(share),
                   element("p", {}, formatNumber(used, "bytes") + " of " + formatNumber(most, "bytes") + " given out, " + formatNumber(share, "ratio")),
                   element("dl", {}, ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value))))),
                   toNumber(segment.troubles) ? element("p", {class: "warning"}, digitsOf(toNumber(segment.troubles)) +
                        " refused, dropped or passed over" + (segment.first_problem ? ": " + segment.first_problem : "") + "; see shm_segment_*") : null);
}

function tile(name) {
    const made = {value: element("b"), more: element("span"), spark: element("canvas", {"aria-hidden": "true"})};
    made.node = element("div", {class: "tile"}, element("h2", {}, name), element("p", {}, made.value, made.more), made.spark);
    return made;
}
