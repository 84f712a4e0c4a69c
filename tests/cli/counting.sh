# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
#
# To be sourced: counts what passes, in scripts of which each tests many things.
passed=0 failed=0 skipped=0
source_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ok WHAT CODE: passes if the code is 0.
ok() {
    if [ "$2" = 0 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "not ok: $1"
    fi
}
# same WHAT FOUND EXPECTED
same() {
    [ "$2" = "$3" ]
    local code=$?
    ok "$1" $code
    [ $code = 0 ] || printf 'found:    %s\nexpected: %s\n' "$2" "$3"
}
# has WHAT TEXT PATTERN: a line of the text matches the extended regular expression.
has() {
    grep -Eq -- "$3" <<<"$2"
    local code=$?
    ok "$1" $code
    [ $code = 0 ] || printf 'no line matches %s in:\n%s\n' "$3" "$2"
}
skip() {
    skipped=$((skipped + 1))
    echo "skipped: $1"
}
# The counts; to be called last.
finish() {
    echo "$passed passed, $failed failed$([ $skipped = 0 ] || echo ", $skipped skipped")"
    [ $failed = 0 ] && [ $passed != 0 ]
    exit
}
