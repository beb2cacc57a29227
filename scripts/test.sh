#!/usr/bin/env bash
# Runs all tests, under cargo-nextest where it is installed, and says in the end what was skipped and
# why: `make test` calls it once the programs are built.
set -uo pipefail
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
mkdir -p "$target"
export HEARTH_SKIPPED_TESTS=$target/skipped-tests
: >"$HEARTH_SKIPPED_TESTS"

status=0
if cargo nextest --version >/dev/null 2>&1; then
    profile=default
    [ -z "${CI:-}" ] || profile=ci
    cargo nextest run --workspace --profile "$profile" || status=1
else
    cargo test --workspace --lib --bins --tests --no-fail-fast || status=1
fi
cargo test --workspace --doc || status=1

sort -u -o "$HEARTH_SKIPPED_TESTS" "$HEARTH_SKIPPED_TESTS"
count=$(grep -c . "$HEARTH_SKIPPED_TESTS")
printf '\n%s skipped' "$count"
[ "$count" = 0 ] || printf ', since this system denies what is needed:'
printf '\n'
sed 's/^/  /' "$HEARTH_SKIPPED_TESTS"
exit $status
