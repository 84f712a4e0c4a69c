# SPDX-License-Identifier: Apache-2.0
#
# Draws what bench/run found as SVG: horizontal bars on a logarithmic axis, with the range from the 10th to the 90th
# percentile of the processes. `plot.py FOLDER` draws again from FOLDER/spread.tsv.
import html
import math
import os
import sys

PLOTS = {
    "counter": ("An increment, one thread (ns)", [
        ("plain_add_ns", "plain add (floor)"),
        ("counter_inlined_ns", "libshm"),
        ("counter_call_ns", "libshm through libshm.so"),
        ("counter_atomic_ns", "libshm, atomic cells"),
        ("lock_add_ns", "lock add"),
        ("client_golang_counter_ns", "client_golang"),
        ("pcp_mmv_counter_ns", "PCP MMV"),
        ("cas_double_ns", "compare-and-swap, double"),
        ("prometheus_cpp_counter_ns", "prometheus-cpp"),
        ("mutex_ns", "mutex"),
        ("client_python_counter_ns", "client_python"),
        ("client_python_multiprocess_counter_ns", "client_python multiprocess"),
    ]),
    "two-writers": ("An increment while another CPU increments the same metric (ns)", [
        ("counter_1proc_ns", "libshm alone"),
        ("counter_2proc_ns", "libshm"),
        ("counter_atomic_2proc_ns", "libshm, atomic cells"),
        ("lock_add_2proc_ns", "lock add"),
        ("client_golang_counter_2thread_ns", "client_golang"),
        ("pcp_mmv_counter_2proc_ns", "PCP MMV (loses some)"),
        ("cas_double_2proc_ns", "compare-and-swap, double"),
        ("prometheus_cpp_counter_2thread_ns", "prometheus-cpp"),
        ("mutex_2proc_ns", "mutex"),
    ]),
    "histogram": ("An observation, random values (ns)", [
        ("histogram_10_random_ns", "libshm, 10 bounds"),
        ("histogram_20_random_ns", "libshm, 20 bounds"),
        ("histogram_10_random_atomic_ns", "libshm, 10 bounds, atomic cells"),
        ("prometheus_cpp_histogram_10_random_ns", "prometheus-cpp, 10 bounds"),
        ("prometheus_cpp_histogram_20_random_ns", "prometheus-cpp, 20 bounds"),
        ("client_golang_histogram_10_random_ns", "client_golang, 10 bounds"),
        ("client_golang_histogram_20_random_ns", "client_golang, 20 bounds"),
        ("client_python_histogram_10_random_ns", "client_python, 10 bounds"),
        ("client_python_multiprocess_histogram_10_random_ns", "client_python multiprocess, 10 bounds"),
    ]),
    "lookup": ("Look up two labels and increment (ns)", [
        ("lookup_2_labels_32_ns", "libshm, 32 series"),
        ("lookup_2_labels_10000_ns", "libshm, 10,000 at random"),
        ("client_golang_lookup_2_labels_32_ns", "client_golang, 32"),
        ("client_golang_lookup_2_labels_10000_ns", "client_golang, 10,000"),
        ("prometheus_cpp_lookup_2_labels_32_ns", "prometheus-cpp, 32"),
        ("prometheus_cpp_lookup_2_labels_10000_ns", "prometheus-cpp, 10,000"),
        ("client_python_lookup_2_labels_32_ns", "client_python, 32"),
        ("client_python_multiprocess_lookup_2_labels_32_ns", "client_python multiprocess, 32"),
    ]),
    "scrape": ("A scrape, end to end (ms)", [
        ("scrape_10k_identity_ms", "libshm, 10,000 series"),
        ("scrape_100k_identity_ms", "libshm, 100,000"),
        ("scrape_1m_identity_ms", "libshm, 1,000,000"),
        ("prometheus_cpp_scrape_100k_identity_ms", "prometheus-cpp, 100,000"),
        ("client_golang_scrape_100k_identity_ms", "client_golang, 100,000"),
        ("client_python_render_100k_ms", "client_python, 100,000 (text only)"),
        ("client_python_multiprocess_render_100k_ms", "client_python multiprocess, 100,000 (text only)"),
    ]),
}
LEFT, WIDTH, BAR, GAP, TOP, BOTTOM, RIGHT = 300, 460, 16, 8, 44, 34, 70


def short(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def draw(title, rows):
    """rows: (label, p10, median, p90)."""
    low = 10 ** math.floor(math.log10(min(row[1] for row in rows)))
    high = 10 ** math.ceil(math.log10(max(row[3] for row in rows)))
    height = TOP + len(rows) * (BAR + GAP) + BOTTOM

    def x(value):
        return LEFT + WIDTH * (math.log10(value / low) / max(1e-9, math.log10(high / low)))

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + RIGHT}" height="{height}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="100%" height="100%" fill="white"/><text x="12" y="22" font-size="15">{html.escape(title)}</text>']
    tick = low
    while tick <= high * 1.001:
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{height - BOTTOM}" stroke="#ddd"/>'
                   f'<text x="{x(tick):.1f}" y="{height - BOTTOM + 18}" text-anchor="middle" fill="#555">{tick:g}</text>')
        tick *= 10
    for number, (label, p10, median, p90) in enumerate(rows):
        y = TOP + number * (BAR + GAP)
        colour = "#2b6cb0" if label.startswith("libshm") else "#a0aec0"
        out.append(f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{html.escape(label)}</text>'
                   f'<rect x="{LEFT}" y="{y}" width="{max(1, x(median) - LEFT):.1f}" height="{BAR}" fill="{colour}"/>'
                   f'<line x1="{x(p10):.1f}" x2="{x(p90):.1f}" y1="{y + BAR / 2}" y2="{y + BAR / 2}" stroke="#222"/>'
                   f'<text x="{x(p90) + 6:.1f}" y="{y + 12}">{short(median)}</text>')
    return "\n".join(out) + "\n</svg>\n"


def plot(folder):
    """Draws FOLDER/*.svg from FOLDER/spread.tsv; what was not measured is left out."""
    found = {}
    with open(os.path.join(folder, "spread.tsv"), encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            name, _, _, _, p10, median, p90, _ = line.rstrip("\n").split("\t")
            found[name] = (float(p10), float(median), float(p90))
    for name, (title, wanted) in PLOTS.items():
        rows = [(label, *found[row]) for row, label in wanted if row in found]
        if len(rows) > 1:
            with open(os.path.join(folder, f"{name}.svg"), "w", encoding="utf-8") as out:
                out.write(draw(title, rows))
        elif os.path.exists(os.path.join(folder, f"{name}.svg")):
            os.remove(os.path.join(folder, f"{name}.svg"))  # of another run


if __name__ == "__main__":
    plot(sys.argv[1])
