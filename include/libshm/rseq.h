/* SPDX-License-Identifier: Apache-2.0
 *
 * Per-CPU updates as restartable sequences (rseq(2), Linux >= 4.18; glibc >= 2.35 registers every thread).
 *
 * One block an architecture. Each function changes the CPU's own copy of a cell and returns 1, or returns 0 with
 * nothing changed: the caller then takes the atomic path. There is no retry, so an update is wait-free and a debugger
 * can step through it (with a retry, stepping never comes out).
 *
 * How a sequence goes
 *   - The address of a descriptor {flags, start 1:, length 2:-1:, abort 4:} is stored to the thread's rseq_cs.
 *   - cpu_id is read inside 1:..2:. When the kernel preempts, migrates or signals the thread in there, it continues at
 *     4: instead, so up to the last instruction before 2:, the committing one, nothing has happened, and that
 *     instruction runs on the CPU whose cell it changes. The cell needs no lock prefix: nobody else writes it.
 *   - rseq_cs is zero again on every way out (on an abort the kernel clears it). A descriptor left behind in a plugin
 *     that is unloaded later would kill the process at its next preemption.
 *
 * Why it looks as it does
 *   - The flag "?" puts both sections into the group of the surrounding function: without it, C++ translation units
 *     that share an inline function do not link once the linker drops one copy.
 *   - __rseq_cs is writable because a position independent program relocates the addresses in it.
 *   - The four bytes before 4: are the signature that glibc registered; the kernel refuses to jump elsewhere. The bytes
 *     before them make it an undefined instruction (ud1) for disassemblers.
 *   - Thread memory is reached as %fs:(offset). `libshm_rseq_offset` is glibc's __rseq_offset where there is one, else
 *     the offset of a thread-local stand-in whose cpu_id is never a CPU: the absence of rseq costs no branch.
 *   - A thread that is not registered has a cpu_id of (uint32_t)-1 or -2, beyond every limit.
 *   - Compiled for AVX, everything is VEX-encoded: an SSE instruction after a 256-bit one costs up to 125 ns an update
 *     (measured, Zen 3), and the compiler does not look into assembly to prevent that.
 *
 * Allow-list: x86-64. Elsewhere, and under ThreadSanitizer (which cannot see into it), LIBSHM_RSEQ is 0 and cells are
 * updated atomically. arm64 waits for a kernel without the abort bug of 6.19. */
#ifndef LIBSHM_RSEQ_H
#define LIBSHM_RSEQ_H

#include <libshm/format.h>
#include <stddef.h>

#if defined(__SANITIZE_THREAD__)
#define LIBSHM_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LIBSHM_THREAD_SANITIZER 1
#endif
#endif

#if defined(__x86_64__) && !defined(__ILP32__) && defined(__GNUC__) && !defined(LIBSHM_THREAD_SANITIZER)
#define LIBSHM_RSEQ 1
#else
#define LIBSHM_RSEQ 0
#endif

#ifdef __cplusplus
extern "C" {
#endif
/* Offset of this thread's struct rseq, or of the stand-in, from the thread pointer; the same for every thread. Set
 * once, before main; const for everybody else (as glibc's own), so that compilers need not load it again for each
 * update: 4.4 instead of 2.4 cycles for a counter in a loop. */
extern const ptrdiff_t libshm_rseq_offset;
#ifdef __cplusplus
}
#endif

#if LIBSHM_RSEQ

/* struct rseq (linux/rseq.h): cpu_id_start at 0, cpu_id at 4, rseq_cs at 8. */
#define LIBSHM_RSEQ_START                                                                                              \
    ".pushsection __rseq_cs,\"aw?\"\n\t.balign 32\n3:\t.long 0,0\n\t.quad 1f,(2f-1f),4f\n\t.popsection\n\t"            \
    "{leaq 3b(%%rip),%%rax|lea rax,[rip+3b]}\n\t"                                                                      \
    "{movq %%rax,%%fs:8(%[rseq])|mov QWORD PTR fs:[%[rseq]+8],rax}\n"                                                  \
    "1:\t{movl %%fs:4(%[rseq]),%%eax|mov eax,DWORD PTR fs:[%[rseq]+4]}\n\t"
#define LIBSHM_RSEQ_CHECK    "jae 5f\n\t{shlq $12,%%rax|shl rax,12}\n\t"
#define LIBSHM_RSEQ_ENTER    LIBSHM_RSEQ_START "{cmpl %[limit],%%eax|cmp eax,%[limit]}\n\t" LIBSHM_RSEQ_CHECK
#define LIBSHM_RSEQ_ENTER_16 LIBSHM_RSEQ_START "{cmpw %w[range],%%ax|cmp ax,%w[range]}\n\t" LIBSHM_RSEQ_CHECK
#define LIBSHM_RSEQ_LEAVE                                                                                              \
    "2:\t{movq $0,%%fs:8(%[rseq])|mov QWORD PTR fs:[%[rseq]+8],0}\n\t"                                                 \
    ".pushsection __rseq_failure,\"ax?\"\n\t.byte 0x0f,0xb9,0x3d\n\t.long 0x53053053\n"                                \
    "4:\tjmp %l[atomic]\n"                                                                                             \
    "5:\t{movq $0,%%fs:8(%[rseq])|mov QWORD PTR fs:[%[rseq]+8],0}\n\tjmp %l[atomic]\n\t.popsection\n\t"
#define LIBSHM_RSEQ_OPERANDS [rseq] "r"(libshm_rseq_offset), [limit] "r"(cpu_limit), [cell] "r"(cell)

/* cell->integer += n in lane cpu_id, if cpu_id < cpu_limit. Commits with one add. */
static inline int libshm_rseq_add_integer(struct libshm_cell *cell, uint64_t n, uint32_t cpu_limit)
{
    __asm__ __volatile__ goto(LIBSHM_RSEQ_ENTER
                              "{addq %[n],(%[cell],%%rax)|add QWORD PTR [%[cell]+rax],%[n]}\n" LIBSHM_RSEQ_LEAVE
                              :
                              : LIBSHM_RSEQ_OPERANDS, [n] "er"(n)
                              : "rax", "memory", "cc"
                              : atomic);
    return 1;
atomic:
    return 0;
}

/* cell->fractional += v in lane cpu_id. Commits with one 8-byte store. */
static inline int libshm_rseq_add_fractional(struct libshm_cell *cell, double v, uint32_t cpu_limit)
{
#ifdef __AVX__
    __asm__ __volatile__ goto(
        LIBSHM_RSEQ_ENTER "{vaddsd 8(%[cell],%%rax),%[v],%%xmm1|vaddsd xmm1,%[v],QWORD PTR [%[cell]+rax+8]}\n\t"
                          "{vmovsd %%xmm1,8(%[cell],%%rax)|vmovsd QWORD PTR [%[cell]+rax+8],xmm1}\n" LIBSHM_RSEQ_LEAVE
#else
    __asm__ __volatile__ goto(LIBSHM_RSEQ_ENTER
                              "{movsd 8(%[cell],%%rax),%%xmm1|movsd xmm1,QWORD PTR [%[cell]+rax+8]}\n\t"
                              "{addsd %[v],%%xmm1|addsd xmm1,%[v]}\n\t"
                              "{movsd %%xmm1,8(%[cell],%%rax)|movsd QWORD PTR [%[cell]+rax+8],xmm1}\n" LIBSHM_RSEQ_LEAVE
#endif
        :
        : LIBSHM_RSEQ_OPERANDS, [v] "x"(v)
        : "rax", "xmm1", "memory", "cc"
        : atomic);
    return 1;
atomic:
    return 0;
}

/* Of a cell: integer += 1, fractional += v. Committed with one aligned 16-byte store, so the two can never disagree:
 * not for a reader, not after a SIGKILL. One load for both, as their queue limits how many observations overlap. */
#ifdef __AVX__
#define LIBSHM_RSEQ_BUCKET                                                                                             \
    "{vmovdqa (%[cell],%%rax),%%xmm1|vmovdqa xmm1,XMMWORD PTR [%[cell]+rax]}\n\t"                                      \
    "{vpcmpeqd %%xmm3,%%xmm3,%%xmm3|vpcmpeqd xmm3,xmm3,xmm3}\n\t" /* -1 */                                             \
    "{vpshufd $0xee,%%xmm1,%%xmm2|vpshufd xmm2,xmm1,0xee}\n\t"    /* fractional */                                     \
    "{vpsubq %%xmm3,%%xmm1,%%xmm1|vpsubq xmm1,xmm1,xmm3}\n\t"                                                          \
    "{vaddsd %[v],%%xmm2,%%xmm2|vaddsd xmm2,xmm2,%[v]}\n\t"                                                            \
    "{vpunpcklqdq %%xmm2,%%xmm1,%%xmm1|vpunpcklqdq xmm1,xmm1,xmm2}\n\t"                                                \
    "{vmovdqa %%xmm1,(%[cell],%%rax)|vmovdqa XMMWORD PTR [%[cell]+rax],xmm1}\n"
#define LIBSHM_RSEQ_BITS "{vmovq %[v],%%rdx|vmovq rdx,%[v]}\n\t"
#else
#define LIBSHM_RSEQ_BUCKET                                                                                             \
    "{movdqa (%[cell],%%rax),%%xmm1|movdqa xmm1,XMMWORD PTR [%[cell]+rax]}\n\t"                                        \
    "{pcmpeqd %%xmm3,%%xmm3|pcmpeqd xmm3,xmm3}\n\t"          /* -1 */                                                  \
    "{pshufd $0xee,%%xmm1,%%xmm2|pshufd xmm2,xmm1,0xee}\n\t" /* fractional */                                          \
    "{psubq %%xmm3,%%xmm1|psubq xmm1,xmm3}\n\t"                                                                        \
    "{addsd %[v],%%xmm2|addsd xmm2,%[v]}\n\t"                                                                          \
    "{punpcklqdq %%xmm2,%%xmm1|punpcklqdq xmm1,xmm2}\n\t"                                                              \
    "{movdqa %%xmm1,(%[cell],%%rax)|movdqa XMMWORD PTR [%[cell]+rax],xmm1}\n"
#define LIBSHM_RSEQ_BITS "{movq %[v],%%rdx|movq rdx,%[v]}\n\t"
#endif

/* cell->integer += 1 and cell->fractional += v in lane cpu_id. */
static inline int libshm_rseq_add_bucket(struct libshm_cell *cell, double v, uint32_t cpu_limit)
{
    __asm__ __volatile__ goto(LIBSHM_RSEQ_ENTER LIBSHM_RSEQ_BUCKET LIBSHM_RSEQ_LEAVE
                              :
                              : LIBSHM_RSEQ_OPERANDS, [v] "x"(v)
                              : "rax", "xmm1", "xmm2", "xmm3", "memory", "cc"
                              : atomic);
    return 1;
atomic:
    return 0;
}

/* The same for the cell of v's bucket, of which `cell` is the first: libshm_histogram_bucket (libshm/buckets.h, which
 * explains it) with as few instructions and loads as there can be. The CPU limit is the low 16 bits of `range`; there
 * is no CPU with a larger number. Not done either if the table leaves it to an ordinary search. v is no NaN. */
static inline int libshm_rseq_observe(struct libshm_cell *cell, double v, uint64_t range, uintptr_t table)
{
    __asm__ __volatile__ goto(
        LIBSHM_RSEQ_ENTER_16 LIBSHM_RSEQ_BITS "{movq %[range],%%rcx|mov rcx,%[range]}\n\t"
                                              "{shlq $16,%%rcx|shl rcx,16}\n\t"
                                              "{cmpq %%rcx,%%rdx|cmp rdx,rcx}\n\t"
                                              "{cmovlq %%rcx,%%rdx|cmovl rdx,rcx}\n\t"
                                              "{cmpq %[range],%%rdx|cmp rdx,%[range]}\n\t"
                                              "{cmovgq %[range],%%rdx|cmovg rdx,%[range]}\n\t"
                                              "{movq %%rdx,%%rcx|mov rcx,rdx}\n\t"
                                              "{shrq $48,%%rcx|shr rcx,48}\n\t"
                                              "{addq (%[table],%%rcx,8),%%rdx|add rdx,QWORD PTR [%[table]+rcx*8]}\n\t"
                                              "js 5f\n\t"
                                              "{shrq $48,%%rdx|shr rdx,48}\n\t"
                                              "{shlq $4,%%rdx|shl rdx,4}\n\t"
                                              "{addq %%rdx,%%rax|add rax,rdx}\n\t" LIBSHM_RSEQ_BUCKET LIBSHM_RSEQ_LEAVE
        :
        : [rseq] "r"(libshm_rseq_offset), [cell] "r"(cell), [v] "x"(v), [range] "r"(range), [table] "r"(table)
        : "rax", "rcx", "rdx", "xmm1", "xmm2", "xmm3", "memory", "cc"
        : atomic);
    return 1;
atomic:
    return 0;
}

#else /* no restartable sequences: every update is atomic */

static inline int libshm_rseq_add_integer(struct libshm_cell *cell, uint64_t n, uint32_t cpu_limit)
{
    (void)cell, (void)n, (void)cpu_limit;
    return 0;
}
static inline int libshm_rseq_add_fractional(struct libshm_cell *cell, double v, uint32_t cpu_limit)
{
    (void)cell, (void)v, (void)cpu_limit;
    return 0;
}
static inline int libshm_rseq_add_bucket(struct libshm_cell *cell, double v, uint32_t cpu_limit)
{
    (void)cell, (void)v, (void)cpu_limit;
    return 0;
}
static inline int libshm_rseq_observe(struct libshm_cell *cell, double v, uint64_t range, uintptr_t table)
{
    (void)cell, (void)v, (void)range, (void)table;
    return 0;
}

#endif
#endif
