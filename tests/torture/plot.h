/* SPDX-License-Identifier: Apache-2.0
 *
 * A plot of a long run as SVG: up to three quantities over a count, each in a panel of its own that begins at 0. */
#ifndef TESTS_TORTURE_PLOT_H
#define TESTS_TORTURE_PLOT_H

#include <stdint.h>
#include <stdio.h>

enum { PLOT_PANELS = 3, PLOT_POINTS = 1024 };

/* When there is no more room every second point goes, and from there on only every second one is kept. */
struct plot {
    const char *title[PLOT_PANELS];
    uint64_t stride;
    size_t n;
    struct {
        double x, y[PLOT_PANELS];
    } point[PLOT_POINTS];
};

static inline void plot_add(struct plot *plot, uint64_t x, double a, double b, double c)
{
    if (plot->stride == 0)
        plot->stride = 1;
    if (x % plot->stride != 0)
        return;
    if (plot->n == PLOT_POINTS) {
        for (size_t i = 0; i < PLOT_POINTS / 2; i++)
            plot->point[i] = plot->point[2 * i];
        plot->n = PLOT_POINTS / 2;
        plot->stride *= 2;
    }
    plot->point[plot->n].x = (double)x;
    plot->point[plot->n].y[0] = a;
    plot->point[plot->n].y[1] = b;
    plot->point[plot->n++].y[2] = c;
}

/* 0, or -1 with errno. */
static inline int plot_write(const struct plot *plot, const char *x_title, const char *path)
{
    enum { LEFT = 90, TOP = 40, WIDTH = 700, HEIGHT = 130, STEP = 180 };
    FILE *out = plot->n ? fopen(path, "w") : NULL;
    if (!out)
        return -1;
    double right = plot->point[plot->n - 1].x > 0 ? plot->point[plot->n - 1].x : 1;
    fprintf(out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" "
            "font-size=\"12\"><rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
            LEFT + WIDTH + 40, PLOT_PANELS * STEP + TOP);
    for (int p = 0; p < PLOT_PANELS; p++) {
        int top = TOP + p * STEP;
        double high = 0;
        for (size_t i = 0; i < plot->n; i++)
            high = plot->point[i].y[p] > high ? plot->point[i].y[p] : high;
        high = high > 0 ? high * 1.1 : 1;
        fprintf(out,
                "<text x=\"%d\" y=\"%d\" font-size=\"14\">%s</text><rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
                "fill=\"none\" stroke=\"#ccc\"/>\n",
                LEFT, top - 8, plot->title[p], LEFT, top, WIDTH, HEIGHT);
        for (int tick = 0; tick <= 4; tick++)
            fprintf(out,
                    "<text x=\"%d\" y=\"%d\" text-anchor=\"end\" fill=\"#555\">%.4g</text><text x=\"%d\" y=\"%d\" "
                    "text-anchor=\"middle\" fill=\"#555\">%.0f</text>\n",
                    LEFT - 6, top + HEIGHT - tick * HEIGHT / 4 + 4, high * tick / 4, LEFT + tick * WIDTH / 4,
                    top + HEIGHT + 15, right * tick / 4);
        fputs("<polyline fill=\"none\" stroke=\"#2b6cb0\" points=\"", out);
        for (size_t i = 0; i < plot->n; i++)
            fprintf(out, "%.1f,%.1f ", LEFT + WIDTH * plot->point[i].x / right,
                    top + HEIGHT * (1 - plot->point[i].y[p] / high));
        fputs("\"/>\n", out);
    }
    fprintf(out, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s</text></svg>\n", LEFT + WIDTH / 2,
            PLOT_PANELS * STEP + TOP - 8, x_title);
    return fclose(out);
}

#endif
