// SPDX-License-Identifier: Apache-2.0
//
// What the page knows: numbers as the exporter's JSON spells them, and the history of a family or a series.
"use strict";

const FAMILY_HISTORY = 240; // samples
const SERIES_HISTORY = 90;

const WORDS = {NaN: NaN, "+Inf": Infinity, "-Inf": -Infinity};

// A number, or a string: NaN, +Inf, -Inf, an integer beyond 2^53.
function toNumber(value) {
    return typeof value === "string" ? (value in WORDS ? WORDS[value] : Number(value)) : value;
}

// a - b, exact for integers of 64 bits.
function difference(a, b) {
    if (typeof a === "number" && typeof b === "number")
        return a - b;
    const whole = /^\d+$/;
    if (whole.test(a) && whole.test(b))
        return Number(BigInt(a) - BigInt(b));
    return toNumber(a) - toNumber(b);
}

function isDistribution(type) {
    return type === "histogram" || type === "summary";
}

function isRate(type) {
    return type === "counter" || isDistribution(type);
}

// The q-quantile of counts (not cumulative, one more than there are bounds), as histogram_quantile of Prometheus has it.
function quantile(bounds, counts, q) {
    const total = counts.reduce((sum, n) => sum + n, 0);
    if (!(total > 0) || !bounds.length)
        return NaN;
    const rank = q * total;
    let below = 0;
    for (let i = 0; i < counts.length; i++) {
        if (below + counts[i] < rank || counts[i] === 0) {
            below += counts[i];
            continue;
        }
        if (i === bounds.length)
            return bounds[i - 1];
        if (i === 0 && bounds[0] <= 0)
            return bounds[0];
        const lower = i ? bounds[i - 1] : 0;
        return lower + (bounds[i] - lower) * Math.max(0, rank - below) / counts[i];
    }
    return bounds[bounds.length - 1];
}

// The last samples of something: values of a gauge, rates of everything else, and for histograms what each bucket got
// from one sample to the next.
class Track {
    constructor(type, size, withBuckets) {
        this.type = type;
        this.size = size;
        this.times = new Float64Array(size);
        this.values = new Float64Array(size);
        this.columns = withBuckets ? new Array(size) : null;
        this.next = 0;
        this.length = 0;
        this.before = null; // the raw numbers of the last sample
        this.beforeTime = 0;
    }

    at(i) { // 0: the oldest
        return (this.next - this.length + i + this.size) % this.size;
    }

    append(time, value, column) {
        this.times[this.next] = time;
        this.values[this.next] = value;
        if (this.columns)
            this.columns[this.next] = column;
        this.next = (this.next + 1) % this.size;
        this.length = Math.min(this.length + 1, this.size);
    }

    push(time, raw) {
        const before = this.before, seconds = time - this.beforeTime;
        if (before && seconds <= 0)
            return;
        this.before = raw;
        this.beforeTime = time;
        if (!isRate(this.type)) {
            this.append(time, toNumber(raw.value), null);
            return;
        }
        if (!before)
            return;
        const key = isDistribution(this.type) ? "count" : "value";
        const grown = difference(raw[key], before[key]);
        if (!(grown >= 0)) { // a reset, or series that went: there is no rate
            this.append(time, NaN, null);
            return;
        }
        let column = null;
        if (this.columns && raw.buckets.length === before.buckets.length)
            column = Float64Array.from(raw.buckets, (n, i) => Math.max(0, difference(n, before.buckets[i])));
        this.append(time, grown / seconds, column);
    }

    get latest() {
        return this.length ? this.values[this.at(this.length - 1)] : NaN;
    }

    // Seconds to show of it: what there is, but not so little that it would be all zigzag, and not more than `samples`.
    span(interval, samples, now) {
        const known = this.length ? now - this.times[this.at(0)] : 0;
        return Math.min(Math.max(known * 1.02, interval * 24), interval * samples);
    }

    // What the buckets got in the last `n` samples.
    recent(n) {
        let sum = null;
        for (let i = Math.max(0, this.length - n); this.columns && i < this.length; i++) {
            const column = this.columns[this.at(i)];
            if (!column)
                continue;
            sum = sum || new Float64Array(column.length);
            for (let b = 0; b < column.length; b++)
                sum[b] += column[b];
        }
        return sum;
    }
}

// ---- words and numbers for people ----------------------------------------------------------------------------------

function unitOf(family) {
    const name = family.name.replace(/_total$/, "");
    if (/_timestamp_seconds$/.test(name))
        return "timestamp";
    for (const unit of ["seconds", "bytes", "ratio"])
        if (family.unit === unit || name.endsWith("_" + unit))
            return unit;
    return family.unit === "dollars" || name.endsWith("_dollars") ? "dollars" : "";
}

function digits(value) {
    const size = Math.abs(value);
    if (size === 0 || (Number.isInteger(value) && size < 10000))
        return value.toLocaleString("en-US");
    if (size < 0.001)
        return value.toExponential(1);
    return Number(value.toPrecision(size >= 1000 ? 4 : 3)).toLocaleString("en-US", {maximumFractionDigits: 12});
}

// With all its digits.
function exact(raw) {
    if (typeof raw === "string" && !(raw in WORDS))
        return BigInt(raw).toLocaleString("en-US");
    return Number.isInteger(raw) ? raw.toLocaleString("en-US") : formatNumber(toNumber(raw), "");
}

function scaled(value, step, names) {
    let i = 0;
    while (Math.abs(value) >= step * 0.9995 && i < names.length - 1) {
        value /= step;
        i++;
    }
    return digits(value) + names[i];
}

function formatNumber(value, unit) {
    if (value === undefined || Number.isNaN(value))
        return "–";
    if (!Number.isFinite(value))
        return value > 0 ? "+Inf" : "−Inf";
    const size = Math.abs(value);
    if (unit === "timestamp")
        return value > 0 ? new Date(value * 1000).toISOString().replace("T", " ").slice(0, 19) : digits(value);
    if (unit === "seconds") {
        if (size >= 86400)
            return digits(value / 86400) + " d";
        if (size >= 7200)
            return digits(value / 3600) + " h";
        if (size >= 120)
            return digits(value / 60) + " min";
        if (size === 0 || size >= 0.9995)
            return digits(value) + " s";
        return size >= 0.0009995 ? digits(value * 1e3) + " ms" : size >= 9.995e-7 ? digits(value * 1e6) + " µs"
            : digits(value * 1e9) + " ns";
    }
    if (unit === "bytes")
        return scaled(value, 1024, [" B", " KiB", " MiB", " GiB", " TiB"]);
    if (unit === "ratio")
        return digits(value * 100) + " %";
    if (size >= 10000)
        return (unit === "dollars" ? "$" : "") + scaled(value, 1000, ["", "k", "M", "G", "T", "P", "E"]);
    return (unit === "dollars" ? "$" : "") + digits(value);
}

function formatRate(value, unit) {
    if (!Number.isFinite(value))
        return "–";
    return (unit === "seconds" ? digits(value) + " s" : formatNumber(value, unit)) + "/s";
}

function formatAge(seconds) {
    if (seconds < 120)
        return Math.max(0, Math.floor(seconds)) + " s";
    if (seconds < 7200)
        return Math.floor(seconds / 60) + " min";
    return seconds < 172800 ? Math.floor(seconds / 3600) + " h" : Math.floor(seconds / 86400) + " d";
}
