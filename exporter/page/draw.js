// SPDX-License-Identifier: Apache-2.0
//
// Drawing on canvases: sparklines, the chart of a family, the heat map of a histogram.

const COLOURS = {
    dark: {
        counter: "#5ea2ff", gauge: "#2fd3a3", histogram: "#b794ff", other: "#f2b155", grid: "#232b3a", text: "#8d97ab",
        cursor: "#e7ebf3", empty: "#141a25",
        heat: ["#1a2136", "#2b2a63", "#5a2a86", "#9a2f86", "#d9486d", "#f98b53", "#fdd28a"],
        lines: ["#ffffff", "#8ff0ff", "#ffe08a"],
    },
    light: {
        counter: "#1f6fe0", gauge: "#08946c", histogram: "#7a4be0", other: "#b36b00", grid: "#e4e8ef", text: "#5c6678",
        cursor: "#1b2130", empty: "#f3f5f9",
        heat: ["#e9ecf8", "#cfd0f3", "#b1a5ea", "#9375dc", "#7545c4", "#54249a", "#330f66"],
        lines: ["#0b1020", "#00788f", "#c23a00"],
    },
};

function colours() {
    const asked = document.documentElement.dataset.theme;
    const dark = asked ? asked === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    return COLOURS[dark ? "dark" : "light"];
}

function colourOf(type) {
    const palette = colours();
    return type === "counter" ? palette.counter : type === "gauge" ? palette.gauge
        : isDistribution(type) ? palette.histogram : palette.other;
}

// The canvas as large as it is shown, in the screen's pixels, and empty.
function begin(canvas) {
    const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    return {context, width, height};
}

// Points of the track since `from`, in runs without a gap.
function runs(track, from, toX, toY) {
    const found = [];
    let run = null;
    for (let i = 0; i < track.length; i++) {
        const at = track.at(i), value = track.values[at];
        if (track.times[at] < from || !Number.isFinite(value)) {
            run = null;
            continue;
        }
        if (!run)
            found.push(run = []);
        run.push([toX(track.times[at]), toY(value)]);
    }
    return found;
}

function trace(context, points) {
    context.beginPath();
    points.forEach(([x, y], i) => i ? context.lineTo(x, y) : context.moveTo(x, y));
}

function range(track, from) {
    let low = Infinity, high = -Infinity;
    for (let i = 0; i < track.length; i++) {
        const at = track.at(i), value = track.values[at];
        if (track.times[at] >= from && Number.isFinite(value)) {
            low = Math.min(low, value);
            high = Math.max(high, value);
        }
    }
    return [low, high];
}

function area(context, points, bottom, colour, strength) {
    const fill = context.createLinearGradient(0, 0, 0, bottom);
    fill.addColorStop(0, colour + strength);
    fill.addColorStop(1, colour + "00");
    trace(context, points);
    context.lineTo(points[points.length - 1][0], bottom);
    context.lineTo(points[0][0], bottom);
    context.closePath();
    context.fillStyle = fill;
    context.fill();
}

function drawSparkline(canvas, track, now, span) {
    const {context, width, height} = begin(canvas), palette = colours(), colour = colourOf(track.type);
    context.fillStyle = palette.grid;
    context.fillRect(0, height - 1, width, 1);
    const from = now - span;
    let [low, high] = range(track, from);
    if (low > high)
        return;
    low = Math.min(low, 0);
    if (high === low)
        high = low + 1;
    const toX = time => (time - from) / span * (width - 4), toY = value => height - 2 - (value - low) / (high - low) * (height - 6);
    for (const points of runs(track, from, toX, toY)) {
        area(context, points, height - 1, colour, "40");
        trace(context, points);
        context.strokeStyle = colour;
        context.lineWidth = 1.5;
        context.lineJoin = "round";
        context.stroke();
        const [x, y] = points[points.length - 1];
        context.beginPath();
        context.arc(x, y, 1.8, 0, 7);
        context.fillStyle = colour;
        context.fill();
    }
}

// Round steps for an axis.
function steps(low, high, wanted) {
    const raw = (high - low) / wanted, power = 10 ** Math.floor(Math.log10(raw)), scale = raw / power;
    const step = (scale <= 1 ? 1 : scale <= 2 ? 2 : scale <= 5 ? 5 : 10) * power, found = [];
    for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-6; value += step)
        found.push(Math.abs(value) < step * 1e-6 ? 0 : value);
    return found;
}

const LEFT = 62, BOTTOM = 20, TOP = 8, RIGHT = 10;

function timeAxis(context, width, height, span, palette) {
    context.fillStyle = palette.text;
    context.textBaseline = "alphabetic";
    for (let i = 0; i <= 4; i++) {
        const ago = span * (1 - i / 4), x = LEFT + (width - LEFT - RIGHT) * i / 4;
        context.textAlign = i === 0 ? "left" : i === 4 ? "right" : "center";
        context.fillText(ago ? "−" + formatAge(ago) : "now", x, height - 5);
    }
}

function label(context, lines, x, y, width, palette) {
    context.textAlign = "left";
    const wide = Math.max(...lines.map(line => context.measureText(line).width)) + 16, tall = lines.length * 16 + 8;
    const left = x + 12 + wide > width ? x - 12 - wide : x + 12, top = Math.max(2, y - tall / 2);
    context.fillStyle = palette.empty;
    context.strokeStyle = palette.text;
    context.lineWidth = 1;
    context.beginPath();
    context.roundRect(left, top, wide, tall, 6);
    context.fill();
    context.stroke();
    context.fillStyle = palette.cursor;
    context.textBaseline = "middle";
    lines.forEach((line, i) => context.fillText(line, left + 8, top + 12 + i * 16));
}

const FONT = "11px ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

function drawChart(canvas, track, now, span, format, pointer) {
    const {context, width, height} = begin(canvas), palette = colours(), colour = colourOf(track.type);
    const from = now - span, bottom = height - BOTTOM;
    context.font = FONT;
    timeAxis(context, width, height, span, palette);
    let [low, high] = range(track, from);
    if (low > high)
        [low, high] = [0, 1];
    low = Math.min(low, 0);
    high = high === low ? low + 1 : high + (high - low) * 0.06;
    const toX = time => LEFT + (time - from) / span * (width - LEFT - RIGHT);
    const toY = value => bottom - (value - low) / (high - low) * (bottom - TOP);
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const value of steps(low, high, 4)) {
        context.fillStyle = palette.grid;
        context.fillRect(LEFT, Math.round(toY(value)), width - LEFT - RIGHT, 1);
        context.fillStyle = palette.text;
        context.fillText(format(value), LEFT - 8, toY(value));
    }
    for (const points of runs(track, from, toX, toY)) {
        area(context, points, bottom, colour, "50");
        trace(context, points);
        context.strokeStyle = colour;
        context.lineWidth = 2;
        context.lineJoin = "round";
        context.stroke();
    }
    if (!pointer || pointer.x < LEFT)
        return;
    let nearest = -1;
    for (let i = 0; i < track.length; i++) {
        const at = track.at(i);
        if (track.times[at] >= from && Number.isFinite(track.values[at]) &&
            (nearest < 0 || Math.abs(toX(track.times[at]) - pointer.x) < Math.abs(toX(track.times[nearest]) - pointer.x)))
            nearest = at;
    }
    if (nearest < 0)
        return;
    const x = toX(track.times[nearest]), y = toY(track.values[nearest]);
    context.fillStyle = palette.text;
    context.fillRect(Math.round(x), TOP, 1, bottom - TOP);
    context.beginPath();
    context.arc(x, y, 4, 0, 7);
    context.fillStyle = colour;
    context.fill();
    label(context, [format(track.values[nearest]), "−" + formatAge(now - track.times[nearest])], x, y, width, palette);
}

function mix(ramp, share) {
    const at = Math.min(share, 1) * (ramp.length - 1), i = Math.min(Math.floor(at), ramp.length - 2), part = at - i;
    const channel = (colour, c) => parseInt(colour.slice(1 + 2 * c, 3 + 2 * c), 16);
    return "rgb(" + [0, 1, 2].map(c => Math.round(channel(ramp[i], c) * (1 - part) + channel(ramp[i + 1], c) * part)).join() + ")";
}

// The rows that anything fell into, and one on either side.
function filledRows(columns, n) {
    let first = n, last = -1;
    for (const {counts} of columns)
        counts.forEach((count, i) => {
            if (count > 0) {
                first = Math.min(first, i);
                last = Math.max(last, i);
            }
        });
    return last < 0 ? [0, n - 1] : [Math.max(0, first - 1), Math.min(n - 1, last + 1)];
}

const QUANTILES = [0.5, 0.9, 0.99];

function drawHeatMap(canvas, track, bounds, now, span, interval, format, pointer) {
    const {context, width, height} = begin(canvas), palette = colours();
    const from = now - span, bottom = height - BOTTOM, n = bounds.length + 1, columns = [];
    context.font = FONT;
    timeAxis(context, width, height, span, palette);
    for (let i = 0; i < track.length; i++) {
        const at = track.at(i), start = i ? track.times[track.at(i - 1)] : track.times[at] - interval;
        if (track.times[at] >= from && track.columns[at])
            columns.push({start, end: track.times[at], counts: track.columns[at], index: i});
    }
    const [first, last] = filledRows(columns, n), rows = last - first + 1, tall = (bottom - TOP) / rows;
    const most = Math.max(0, ...columns.map(column => Math.max(...column.counts)));
    const toX = time => LEFT + (Math.max(time, from) - from) / span * (width - LEFT - RIGHT);
    const rowTop = row => bottom - (row - first + 1) * tall;
    context.fillStyle = palette.empty;
    context.fillRect(LEFT, TOP, width - LEFT - RIGHT, bottom - TOP);
    for (const {start, end, counts} of columns)
        for (let row = first; row <= last; row++)
            if (counts[row] > 0) {
                const x = Math.floor(toX(start));
                context.fillStyle = mix(palette.heat, 0.12 + 0.88 * Math.sqrt(counts[row] / most));
                context.fillRect(x, Math.floor(rowTop(row)), Math.max(1, Math.ceil(toX(end)) - x),
                                 Math.ceil(tall) - (tall > 5 ? 1 : 0));
            }
    context.textAlign = "right";
    context.textBaseline = "middle";
    context.fillStyle = palette.text;
    const every = Math.ceil(14 / tall);
    for (let row = first; row <= last; row++)
        if ((row - first) % every === 0)
            context.fillText(row < bounds.length ? "≤ " + format(bounds[row]) : "+Inf", LEFT - 8, rowTop(row) + tall / 2);
    // where a value lies among the rows
    const toY = value => {
        let row = bounds.findIndex(bound => value <= bound);
        if (row < 0)
            row = bounds.length;
        const lower = row ? bounds[row - 1] : Math.min(0, bounds[0]), upper = row < bounds.length ? bounds[row] : lower;
        return rowTop(row) + tall * (1 - (upper > lower ? (value - lower) / (upper - lower) : 0.5));
    };
    QUANTILES.forEach((q, line) => {
        let drawing = false;
        context.beginPath();
        columns.forEach((column, i) => {
            const sum = new Float64Array(n); // over some samples, or the line would jump about
            for (const near of columns.slice(Math.max(0, i - 7), i + 1))
                near.counts.forEach((count, b) => sum[b] += count);
            const value = quantile(bounds, sum, q);
            if (Number.isFinite(value)) {
                const x = toX(column.end), y = Math.min(bottom, Math.max(TOP, toY(value)));
                drawing ? context.lineTo(x, y) : context.moveTo(x, y);
            }
            drawing = Number.isFinite(value);
        });
        context.strokeStyle = palette.lines[line];
        context.lineWidth = 1.5;
        context.lineJoin = "round";
        context.stroke();
    });
    const under = pointer && columns.find(column => toX(column.start) <= pointer.x && pointer.x < toX(column.end));
    const row = pointer ? first + Math.floor((bottom - pointer.y) / tall) : -1;
    if (under && row >= first && row <= last)
        label(context, [(row < bounds.length ? "≤ " + format(bounds[row]) : "+Inf") + ": " + digits(under.counts[row]),
                        "−" + formatAge(now - under.end)], pointer.x, pointer.y, width, palette);
}
