# SPDX-License-Identifier: Apache-2.0
"""Draws the samples of a soak: resident memory and open descriptors over time."""

WIDTH, HEIGHT, LEFT, TOP, BETWEEN = 760, 150, 70, 40, 50
PANELS = (("resident memory (MiB)", 1024.0, ((1, "#2b6cb0", "resident"), (2, "#dd6b20", "anonymous"))),
          ("open descriptors", 1.0, ((3, "#2f855a", "open"),)))


def draw(samples, warm_up, spread_kib):
    """An SVG of samples (seconds, resident KiB, anonymous KiB, descriptors)."""
    length = max(samples[-1][0], 1e-9)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 110}" height="{TOP + 2 * (HEIGHT + BETWEEN)}" '
           'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>']
    for number, (title, unit, lines) in enumerate(PANELS):
        top = TOP + number * (HEIGHT + BETWEEN)
        high = 1.1 * max(sample[column] for sample in samples for column, _, _ in lines) / unit

        def x(seconds):
            return LEFT + WIDTH * seconds / length

        def y(value, top=top, high=high):
            return top + HEIGHT * (1 - value / high)

        out.append(f'<text x="{LEFT}" y="{top - 10}" font-size="14">{title}</text>'
                   f'<rect x="{LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>')
        if number == 0:
            warm = [sample[1] for sample in samples if sample[0] >= warm_up] or [samples[-1][1]]
            band = max(y((min(warm) + spread_kib) / unit), top)
            out.append(f'<rect x="{x(warm_up):.1f}" width="{x(length) - x(warm_up):.1f}" y="{band:.1f}" '
                       f'height="{y(min(warm) / unit) - band:.1f}" fill="#ebf4ff"/>')
        for tick in range(5):
            value, seconds = high * tick / 4, length * tick / 4
            out.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end" fill="#555">{value:.1f}</text>'
                       f'<text x="{x(seconds):.1f}" y="{top + HEIGHT + 16}" text-anchor="middle" fill="#555">'
                       f'{seconds:.0f} s</text>')
        for column, colour, name in lines:
            points = " ".join(f"{x(sample[0]):.1f},{y(sample[column] / unit):.1f}" for sample in samples)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>'
                       f'<text x="{LEFT + WIDTH + 8}" y="{y(samples[-1][column] / unit) + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"
