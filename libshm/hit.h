/* SPDX-License-Identifier: Apache-2.0
 *
 * The fast hit of a look-up: one restartable sequence, from the first load of the table to the update of the cell.
 *
 * Nothing says that the sequence is running, and what it reads is freed by others. That is allowed because nothing has
 * happened before its last instruction, and whoever frees has membarrier() restart all sequences of the process in
 * between (grace.c): one that saw the entry before it was taken out does not come to its end, nor to another load. So
 * cpu_id comes first: a thread that is not registered would not be restarted.
 *
 * The steps: by_address leads to the entry that strings at these addresses named the last time; no series was removed
 * since every entry was known to be good (known before the table was loaded); the strings still say the same; update.
 * Whatever does not fit leads to the ordinary look-up, which begins from the start.
 *
 * Strings are compared 16 bytes at a time. The first of them is known to be in the caller's string: what lies behind
 * its end in the same page can be read, and does not count. */
#ifndef LIBSHM_HIT_H
#define LIBSHM_HIT_H

#include "libshm/lookup_table.h"

#if LIBSHM_RSEQ

#ifdef __AVX__
#define LIBSHM_HIT_COMPARE "vmovdqu (%%rcx),%%xmm1\n\tvpcmpeqb (%%rdx),%%xmm1,%%xmm1\n\tvpmovmskb %%xmm1,%%r9d\n\t"
#else
#define LIBSHM_HIT_COMPARE                                                                                             \
    "movdqu (%%rcx),%%xmm1\n\tmovdqu (%%rdx),%%xmm2\n\tpcmpeqb %%xmm2,%%xmm1\n\tpmovmskb %%xmm1,%%r9d\n\t"
#endif

/* Ends with rax: offset of the CPU's lane, r8: cell in lane 0. */
#define LIBSHM_HIT_FIND                                                                                                \
    ".pushsection __rseq_cs,\"aw?\"\n\t.balign 32\n3:\t.long 0,0\n\t.quad 1f,(2f-1f),4f\n\t.popsection\n\t"            \
    "movq %c[segment](%[family]),%%rsi\n\t"                                                                            \
    "movq %c[lookup](%%rsi),%%rsi\n\t"                                                                                 \
    "leaq 3b(%%rip),%%rax\n\t"                                                                                         \
    "movq %%rax,%%fs:8(%[rseq])\n"                                                                                     \
    "1:\tmovl %%fs:4(%[rseq]),%%eax\n\t"                                                                               \
    "testl %%eax,%%eax\n\t" /* not registered: negative */                                                             \
    "js 5f\n\t"                                                                                                        \
    "movq %c[known](%%rsi),%%r10\n\t"                                                                                  \
    "movq %c[table](%%rsi),%%rcx\n\t" /* from here to 7: the entry, which is in one of eight places of a line */       \
    "movq %[address],%%rdx\n\t"                                                                                        \
    "shrq $24,%%rdx\n\t"                                                                                               \
    "andl %c[mask](%%rcx),%%edx\n\t"                                                                                   \
    "xorl %%r9d,%%r9d\n"                                                                                               \
    "6:\tmovq %%rdx,%%r8\n\t"                                                                                          \
    "xorq %%r9,%%r8\n\t"                                                                                               \
    "movq %c[by_address](%%rcx,%%r8,8),%%r8\n\t"                                                                       \
    "movq %%r8,%%r11\n\t"                                                                                              \
    "xorq %[address],%%r11\n\t"                                                                                        \
    "shrq $48,%%r11\n\t"                                                                                               \
    "jz 7f\n\t"                                                                                                        \
    "incl %%r9d\n\t"                                                                                                   \
    "cmpl $8,%%r9d\n\t"                                                                                                \
    "jb 6b\n\t"                                                                                                        \
    "jmp 5f\n"                                                                                                         \
    "7:\tshlq $16,%%r8\n\t"                                                                                            \
    "shrq $16,%%r8\n\t"                                                                                                \
    "movq %c[now](%%rsi),%%r11\n\t"                                                                                    \
    "cmpq (%%r11),%%r10\n\t"                                                                                           \
    "jne 5f\n\t"                                                                                                       \
    "cmpq %[family],%c[child_family](%%r8)\n\t"                                                                        \
    "jne 5f\n\t"                                                                                                       \
    "movl %c[n_labels](%[family]),%%r10d\n\t"                                                                          \
    "leaq %c[key](%%r8),%%rsi\n\t"       /* lengths */                                                                 \
    "leaq (%%rsi,%%r10,2),%%rdx\n\t"     /* our strings */                                                             \
    "leaq (%[values],%%r10,8),%%rdi\n\t" /* theirs, counted from the end */                                            \
    "negq %%r10\n"                                                                                                     \
    "8:\tmovq (%%rdi,%%r10,8),%%rcx\n\t"                                                                               \
    "movzwl (%%rsi),%%r11d\n\t"                                                                                        \
    "addq $2,%%rsi\n\t"                                                                                                \
    "incl %%r11d\n" /* with the zero at the end */                                                                     \
    "9:\tmovl %%ecx,%%r9d\n\t"                                                                                         \
    "andl $4095,%%r9d\n\t"                                                                                             \
    "cmpl $4080,%%r9d\n\t"                                                                                             \
    "ja 5f\n\t" LIBSHM_HIT_COMPARE "notl %%r9d\n\t" /* ones: differences, and bits 16 and above */                     \
    "rep bsfl %%r9d,%%r9d\n\t"                                                                                         \
    "cmpl %%r11d,%%r9d\n\t"                                                                                            \
    "jae 10f\n\t"                                                                                                      \
    "addq $16,%%rcx\n\t"                                                                                               \
    "addq $16,%%rdx\n\t"                                                                                               \
    "subl $16,%%r11d\n\t"                                                                                              \
    "cmpl $16,%%r9d\n\t"                                                                                               \
    "je 9b\n\t"                                                                                                        \
    "jmp 5f\n"                                                                                                         \
    "10:\taddq %%r11,%%rdx\n\t"                                                                                        \
    "incq %%r10\n\t"                                                                                                   \
    "jnz 8b\n\t"                                                                                                       \
    "movzwl %c[cpu_limit](%%r8),%%r9d\n\t"                                                                             \
    "cmpl %%r9d,%%eax\n\t"                                                                                             \
    "jae 5f\n\t"                                                                                                       \
    "movq %c[cell](%%r8),%%r8\n\t"                                                                                     \
    "shlq $12,%%rax\n\t"
#define LIBSHM_HIT_OPERANDS(kind)                                                                                      \
    [rseq] "r"(libshm_rseq_offset), [family] "r"(family), [values] "r"(values), [address] "r"(address),                \
        [known] "i"(offsetof(struct libshm_lookup, removals)),                                                         \
        [now] "i"(offsetof(struct libshm_lookup, removals_now)), [table] "i"(offsetof(struct libshm_lookup, table)),   \
        [mask] "i"(offsetof(struct libshm_lookup_table, mask)),                                                        \
        [by_address] "i"(offsetof(struct libshm_lookup_table, by_address)),                                            \
        [segment] "i"(offsetof(struct libshm_family, segment)), [lookup] "i"(offsetof(struct libshm_segment, lookup)), \
        [n_labels] "i"(offsetof(struct libshm_family, n_labels)),                                                      \
        [child_family] "i"(offsetof(struct libshm_child, family)),                                                     \
        [cpu_limit] "i"(offsetof(struct libshm_child, kind.cpu_limit)),                                                \
        [cell] "i"(offsetof(struct libshm_child, kind.cell)),                                                          \
        [key] "i"(offsetof(struct libshm_child, kind) + sizeof(libshm_##kind))
#define LIBSHM_HIT_CLOBBERS "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "xmm1", "xmm2", "memory", "cc"

/* All three: true if the update was made. `address` is not 0; the segment's grace.sequences is true.
 * Five operands in registers are all that a build with a frame pointer has beside the clobbers. */
static inline bool libshm_hit_add_integer(const struct libshm_family *family, const char *const *values,
                                          uint64_t address, uint64_t n)
{
    __asm__ __volatile__ goto(LIBSHM_HIT_FIND "addq %[n],(%%r8,%%rax)\n" LIBSHM_RSEQ_LEAVE
                              :
                              : LIBSHM_HIT_OPERANDS(counter), [n] "er"(n)
                              : LIBSHM_HIT_CLOBBERS
                              : atomic);
    return true;
atomic:
    return false;
}

static inline bool libshm_hit_add_fractional(const struct libshm_family *family, const char *const *values,
                                             uint64_t address, double v)
{
#ifdef __AVX__
    __asm__ __volatile__ goto(LIBSHM_HIT_FIND "vaddsd 8(%%r8,%%rax),%[v],%%xmm1\n\t"
                                              "vmovsd %%xmm1,8(%%r8,%%rax)\n" LIBSHM_RSEQ_LEAVE
#else
    __asm__ __volatile__ goto(LIBSHM_HIT_FIND "movsd 8(%%r8,%%rax),%%xmm1\n\t"
                                              "addsd %[v],%%xmm1\n\t"
                                              "movsd %%xmm1,8(%%r8,%%rax)\n" LIBSHM_RSEQ_LEAVE
#endif
                              :
                              : LIBSHM_HIT_OPERANDS(counter), [v] "x"(v)
                              : LIBSHM_HIT_CLOBBERS
                              : atomic);
    return true;
atomic:
    return false;
}

/* All children of a family have the same buckets: `offset` of the cell from the first one. */
static inline bool libshm_hit_add_bucket(const struct libshm_family *family, const char *const *values,
                                         uint64_t address, uint64_t offset, double v)
{
#ifdef __AVX__
    __asm__ __volatile__ goto(LIBSHM_HIT_FIND "addq %[offset],%%r8\n\t"
                                              "movq (%%r8,%%rax),%%rcx\n\t"
                                              "vaddsd 8(%%r8,%%rax),%[v],%%xmm2\n\t"
                                              "incq %%rcx\n\t"
                                              "vmovq %%rcx,%%xmm1\n\t"
                                              "vpunpcklqdq %%xmm2,%%xmm1,%%xmm1\n\t"
                                              "vmovdqa %%xmm1,(%%r8,%%rax)\n" LIBSHM_RSEQ_LEAVE
#else
    __asm__ __volatile__ goto(LIBSHM_HIT_FIND "addq %[offset],%%r8\n\t"
                                              "movq (%%r8,%%rax),%%rcx\n\t"
                                              "movsd 8(%%r8,%%rax),%%xmm2\n\t"
                                              "incq %%rcx\n\t"
                                              "addsd %[v],%%xmm2\n\t"
                                              "movq %%rcx,%%xmm1\n\t"
                                              "punpcklqdq %%xmm2,%%xmm1\n\t"
                                              "movdqa %%xmm1,(%%r8,%%rax)\n" LIBSHM_RSEQ_LEAVE
#endif
                              :
                              : LIBSHM_HIT_OPERANDS(histogram), [offset] "rm"(offset), [v] "x"(v)
                              : LIBSHM_HIT_CLOBBERS
                              : atomic);
    return true;
atomic:
    return false;
}

#else /* no restartable sequences */

static inline bool libshm_hit_add_integer(const struct libshm_family *family, const char *const *values,
                                          uint64_t address, uint64_t n)
{
    (void)family, (void)values, (void)address, (void)n;
    return false;
}
static inline bool libshm_hit_add_fractional(const struct libshm_family *family, const char *const *values,
                                             uint64_t address, double v)
{
    (void)family, (void)values, (void)address, (void)v;
    return false;
}
static inline bool libshm_hit_add_bucket(const struct libshm_family *family, const char *const *values,
                                         uint64_t address, uint64_t offset, double v)
{
    (void)family, (void)values, (void)address, (void)offset, (void)v;
    return false;
}

#endif
#endif
