/* SPDX-License-Identifier: Apache-2.0
 *
 * Giving up what a running exporter does not need, see sandbox.h. */
#define _GNU_SOURCE
#include "sandbox.h"
#include "log.h"
#include "sandbox_calls.h"
#include "sandbox_files.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITY_BIT(capability) (1u << ((capability)&31))

/* What is left to root: reading segments, and looking at processes, that belong to others. */
static bool drop_capabilities(bool processes)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[2], keep[2];
    if (syscall(SYS_capget, &header, have) != 0)
        return false;
    if (!have[0].permitted && !have[1].permitted)
        return true; /* and a service manager may have taken capset away */
    const uint32_t wanted = CAPABILITY_BIT(CAP_DAC_READ_SEARCH) | (processes ? CAPABILITY_BIT(CAP_SYS_PTRACE) : 0);
    memset(keep, 0, sizeof keep);
    keep[0].effective = keep[0].permitted = have[0].permitted & wanted;
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 && syscall(SYS_capset, &header, keep) == 0;
}

/* A file, and where it really is: certificates like to be symbolic links. */
static bool keep_file(struct file_rules *rules, const char *path)
{
    if (!path || !*path)
        return true;
    char *real = realpath(path, NULL);
    const bool well = file_rules_read_beside(rules, path) && (!real || file_rules_read_beside(rules, real));
    free(real);
    return well;
}

static bool restrict_files(const struct options *options, const struct web_config *web,
                           const struct listener *listeners, size_t n, struct file_rules *rules)
{
    bool well = true;
    for (size_t i = 0; i < options->scope.n_directories; i++)
        well = well && file_rules_read(rules, options->scope.directories[i]);
    well = well && keep_file(rules, options->web_config_file) && keep_file(rules, web->cert_file) &&
           keep_file(rules, web->key_file) && keep_file(rules, web->client_ca_file);
    well = well && file_rules_read(rules, "/proc") && file_rules_read(rules, "/sys/devices/system/cpu");
    for (size_t i = 0; i < n; i++)
        if (listeners[i].local && listeners[i].ours)
            well = well && file_rules_remove_beside(rules, listeners[i].address + strlen("unix:"));
    return file_rules_enforce(rules) && well;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true /* the sanitizers' run-time needs what would be taken away */
#else
#define SANITIZED false
#endif

bool sandbox_enter(const struct options *options, const struct web_config *web, const struct listener *listeners,
                   size_t n_listeners)
{
    if (options->no_sandbox || SANITIZED) {
        log_event(LOG_WARN, "no sandbox", NULL);
        return true;
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !drop_capabilities(options->collect_processes)) {
        log_event(LOG_ERROR, "cannot give up privileges", "reason", strerror(errno), NULL);
        return false;
    }
    struct file_rules *rules = file_rules_new();
    const bool landlock = rules != NULL, seccomp = sandbox_calls_known();
    if (rules && !restrict_files(options, web, listeners, n_listeners, rules)) {
        log_event(LOG_ERROR, "cannot restrict files", "reason", strerror(errno), NULL);
        return false;
    }
    if (seccomp && !sandbox_calls_enforce()) {
        log_event(LOG_ERROR, "cannot restrict system calls", "reason", strerror(errno), NULL);
        return false;
    }
    log_event(LOG_INFO, "sandbox", "landlock", landlock ? "on" : "not in this kernel", "seccomp",
              seccomp ? "on" : "not in this kernel", NULL);
    return true;
}
