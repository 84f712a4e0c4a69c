/* SPDX-License-Identifier: Apache-2.0
 *
 * See bench.h: several scrapers at once. */
#include "bench.h"

#include <pthread.h>

enum { SCRAPERS_MAX = 16 };

struct scraper {
    pthread_t thread;
    pthread_barrier_t *start;
    bench_scrape_function *scrape;
    int port;
    char *buffer;
    size_t size, length;
    double end;
};

static void *scrape_once(void *context)
{
    struct scraper *scraper = context;
    pthread_barrier_wait(scraper->start);
    double from = bench_now();
    scraper->end = from + scraper->scrape(scraper->port, scraper->buffer, scraper->size, &scraper->length);
    return NULL;
}

double bench_scrape_together(int port, bench_scrape_function *scrape, int n, char *const *buffers, size_t size,
                             size_t *lengths)
{
    struct scraper scrapers[SCRAPERS_MAX];
    pthread_barrier_t start;
    if (n > SCRAPERS_MAX)
        bench_die("%d scrapers are too many", n);
    pthread_barrier_init(&start, NULL, (unsigned)n + 1);
    for (int i = 0; i < n; i++) {
        scrapers[i] =
            (struct scraper){.start = &start, .scrape = scrape, .port = port, .buffer = buffers[i], .size = size};
        if (pthread_create(&scrapers[i].thread, NULL, scrape_once, &scrapers[i]))
            bench_die("no thread");
    }
    double from = bench_now(), end = 0;
    pthread_barrier_wait(&start);
    for (int i = 0; i < n; i++) {
        pthread_join(scrapers[i].thread, NULL);
        lengths[i] = scrapers[i].length;
        end = scrapers[i].end > end ? scrapers[i].end : end;
    }
    pthread_barrier_destroy(&start);
    return end - from;
}
