/* SPDX-License-Identifier: Apache-2.0 */
#include "libshm/grace.h"

#include <linux/membarrier.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Linux 5.10; the headers may be older. */
enum { RESTART_SEQUENCES = 1 << 7, REGISTER_RESTART_SEQUENCES = 1 << 8 };

static bool membarrier(int command)
{
    return syscall(__NR_membarrier, command, 0, 0) == 0;
}

/* Are threads registered for sequences? Only a hint: each sequence looks itself. */
static bool registered(void)
{
    uint32_t cpu_id = UINT32_MAX;
    if (LIBSHM_RSEQ)
        memcpy(&cpu_id, (const char *)__builtin_thread_pointer() + libshm_rseq_offset + 4, sizeof cpu_id);
    return cpu_id <= INT32_MAX;
}

bool libshm_grace_init(struct libshm_grace *grace, uint32_t lanes)
{
    grace->lanes_size = (2 + (size_t)lanes) * LIBSHM_PAGE;
    grace->lanes =
        mmap(NULL, grace->lanes_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (grace->lanes == MAP_FAILED) {
        grace->lanes = NULL;
        return false;
    }
    madvise(grace->lanes, grace->lanes_size, MADV_WIPEONFORK); /* in a child, the threads counted in do not exist */
    grace->fence = !membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
    grace->sequences = lanes && registered() && membarrier(REGISTER_RESTART_SEQUENCES);
    struct libshm_cell *first = (struct libshm_cell *)(void *)(grace->lanes + 2 * LIBSHM_PAGE);
    for (uint32_t phase = 0; phase < 2; phase++) {
        grace->in[phase] = (libshm_counter){.cell = first + 8 * phase, .cpu_limit = (uint16_t)lanes};
        grace->out[phase] = (libshm_counter){.cell = first + 8 * phase + 4, .cpu_limit = (uint16_t)lanes};
    }
    return true;
}

void libshm_grace_destroy(struct libshm_grace *grace)
{
    if (grace->lanes)
        munmap(grace->lanes, grace->lanes_size);
}

static bool heavy_fence(const struct libshm_grace *grace)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return grace->fence || membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED);
}

static uint64_t sum(const struct libshm_grace *grace, const libshm_counter *counter)
{
    uint64_t total = 0;
    const char *cell = (const char *)counter->cell - LIBSHM_PAGE;
    for (size_t page = 1; page * LIBSHM_PAGE < grace->lanes_size; page++, cell += LIBSHM_PAGE)
        total += __atomic_load_n(&((const struct libshm_cell *)(const void *)cell)->integer, __ATOMIC_ACQUIRE);
    return total;
}

bool libshm_grace_over(const struct libshm_grace *grace)
{
    uint32_t before = (grace->phase & 1) ^ 1;
    uint64_t out = sum(grace, &grace->out[before]);
    /* out before in: who is counted out here was counted in before */
    return heavy_fence(grace) && sum(grace, &grace->in[before]) == out;
}

bool libshm_grace_start(struct libshm_grace *grace)
{
    /* out of the table before the phase changes */
    if (!heavy_fence(grace) || (grace->sequences && !membarrier(RESTART_SEQUENCES)))
        return false;
    __atomic_store_n(&grace->phase, (grace->phase & 1) ^ 1, __ATOMIC_RELEASE);
    (void)heavy_fence(grace);
    return true;
}
