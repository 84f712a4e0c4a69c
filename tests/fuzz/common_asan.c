/* SPDX-License-Identifier: Apache-2.0
 *
 * How AddressSanitizer runs under the fuzzers: what it does at each allocation is a good part of an execution. A case
 * that was found is run again with ASAN_OPTIONS=malloc_context_size=30 for the whole stacks of allocations. */
const char *__asan_default_options(void); /* NOLINT: the name is the sanitizer's */
const char *__asan_default_options(void)
{
    return "malloc_context_size=1:quarantine_size_mb=8:thread_local_quarantine_size_kb=64";
}
