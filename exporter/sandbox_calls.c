/* SPDX-License-Identifier: Apache-2.0
 *
 * seccomp, see sandbox_calls.h. What is not listed fails with EPERM. No new program can be started, no connection be
 * made, no file be written; memory is never executable, and never shared and writable: a mapped segment can only be
 * read. */
#define _GNU_SOURCE
#include "sandbox_calls.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/* clang-format off */
static const char *const allowed[] = {
    /* files, to read */
    "read", "readv", "pread64", "open", "openat", "close", "fstat", "stat", "lstat", "newfstatat", "statx", "lseek",
    "getdents64", "readlink", "readlinkat", "access", "faccessat", "faccessat2", "fcntl", "fstatfs", "statfs",
    "inotify_add_watch", "inotify_rm_watch", "getcwd", "unlink", "unlinkat",
    /* connections */
    "accept", "accept4", "recvfrom", "recvmsg", "sendto", "sendmsg", "write", "writev", "sendfile", "shutdown",
    "getsockopt", "setsockopt", "getsockname", "getpeername", "ioctl",
    /* waiting */
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll",
    "select", "pselect6", "eventfd", "eventfd2", "pipe", "pipe2", "nanosleep", "clock_nanosleep", "clock_gettime",
    "clock_getres", "gettimeofday", "time", "restart_syscall",
    /* threads and signals */
    "futex", "set_robust_list", "get_robust_list", "rseq", "membarrier", "sched_yield", "sched_getaffinity",
    "sched_setaffinity", "set_tid_address", "gettid", "getpid", "getppid", "tgkill", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "exit", "exit_group", "getcpu",
    /* memory */
    "munmap", "mremap", "madvise", "brk", "mincore",
    /* the rest */
    "getrandom", "getuid", "geteuid", "getgid", "getegid", "uname", "sysinfo", "getrlimit", "prlimit64", "getrusage",
    "umask",
};
/* clang-format on */

#define WRITE_OR_EXEC (PROT_WRITE | PROT_EXEC)
#define MAP_KIND      0xfu

static bool allow_memory(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, WRITE_OR_EXEC, 0)) ==
               0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
                            SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_KIND, MAP_PRIVATE)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) ==
               0;
}

/* Threads, not processes. The flags of clone3 cannot be looked at; without it, libc uses clone. */
static bool allow_threads(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                            SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) == 0;
}

/* To tell the service manager: a socket that it is sent through without being connected. */
static bool allow_notifying(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1, SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0)) == 0 &&
           seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1, SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME, 0)) == 0;
}

bool sandbox_calls_known(void)
{
    return prctl(PR_GET_SECCOMP, 0, 0, 0, 0) >= 0;
}

bool sandbox_calls_enforce(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    bool well = filter != NULL;
    for (size_t i = 0; well && i < sizeof allowed / sizeof *allowed; i++) {
        const int call = seccomp_syscall_resolve_name(allowed[i]);
        if (call >= 0) /* the architecture has it */
            well = seccomp_rule_add(filter, SCMP_ACT_ALLOW, call, 0) == 0;
    }
    well =
        well && allow_memory(filter) && allow_threads(filter) && allow_notifying(filter) && seccomp_load(filter) == 0;
    if (filter)
        seccomp_release(filter);
    return well;
}
