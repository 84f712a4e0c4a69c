/* SPDX-License-Identifier: Apache-2.0
 *
 * seccomp: which system calls the process may still make. */
#ifndef EXPORTER_SANDBOX_CALLS_H
#define EXPORTER_SANDBOX_CALLS_H

#include <stdbool.h>

/* For this thread and those that it starts; another call fails with EPERM. False: it could not be done. */
bool sandbox_calls_enforce(void);
/* Has the kernel seccomp? */
bool sandbox_calls_known(void);

#endif
