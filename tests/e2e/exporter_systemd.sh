#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# The service unit as systemd-analyze sees it, and that systemd reads the other two files.
set -euo pipefail
command -v systemd-analyze >/dev/null || {
    echo "no systemd-analyze"
    exit 77
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0

check() { # NAME COMMAND...
    local name=$1
    shift
    if "$@" >"$scratch/log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED $name"
        cat "$scratch/log"
    fi
}

exposure() { # of 15 at most, in tenths
    systemd-analyze security --offline=yes --threshold=15 systemd/shm-exporter.service
}

verified() { # with the program that was built
    sed "s,/usr/local/bin/shm-exporter,$BUILD/shm-exporter," systemd/shm-exporter.service >"$scratch/shm-exporter.service"
    systemd-analyze verify --man=no "$scratch/shm-exporter.service" 2>"$scratch/complaints" || true
    ! grep shm-exporter.service "$scratch/complaints"
}

users() {
    mkdir -p "$scratch/root/etc"
    systemd-sysusers --root="$scratch/root" "$PWD/systemd/sysusers.conf" &&
        grep -q '^libshm:x:[0-9]*:shm-exporter$' "$scratch/root/etc/group" &&
        grep -q '^shm-exporter:' "$scratch/root/etc/passwd"
}

directory() {
    systemd-tmpfiles --root="$scratch/root" --create "$PWD/systemd/tmpfiles.conf" &&
        [ "$(stat -c %a "$scratch/root/run/libshm")" = 2775 ]
}

check exposure exposure
check verified verified
if [ "$(id -u)" = 0 ]; then
    check users users
    check directory directory
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
