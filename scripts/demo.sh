#!/usr/bin/env bash
# The main job on this machine: two workers load the bundled model once; two coordinators, each a
# process of its own, have pictures made by them. Ends what it started. Pictures stay in out/demo.
set -euo pipefail
cd "$(dirname "$0")/.."

programs=${HEARTH_DEMO_PROGRAMS:-target/debug}
out=out/demo
rm -rf "$out" && mkdir -p "$out"
HEARTH_RUNTIME_DIR=$(mktemp -d "${TMPDIR:-/tmp}/hearth-demo.XXXXXX")
export HEARTH_RUNTIME_DIR

hearth() { "$programs/hearth" "$@"; }
say() { printf '\n%s\n' "$*"; }
die() { say "$*" >&2; exit 1; }

fleet=
stop() {
    if [ -n "$fleet" ] && kill -TERM "$fleet" 2>/dev/null; then
        wait "$fleet" 2>/dev/null || true
    fi
    rm -rf "$HEARTH_RUNTIME_DIR"
}
trap stop EXIT

# One number of each worker's stats, over QUIC, in the order of the ranks.
counter() {
    hearth -q rpc stats --json | sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" | paste -sd ' '
}

# When the kernel started each of the processes, in clock ticks since boot.
started() {
    for pid in "$@"; do
        sed 's/.*) //' "/proc/$pid/stat" | cut -d' ' -f20
    done | paste -sd ' '
}

# Runs `hearth generate` as a coordinator of its own and prints how long its first picture took.
coordinate() {
    local name=$1 start end
    shift
    start=$(date +%s%N)
    hearth -q generate "$@" >/dev/null
    end=$(date +%s%N)
    printf "  %s  %5s ms from its start to its picture\n" "$name" $(((end - start) / 1000000))
}

say "Two workers load models/emoji:"
begin=$(date +%s%N)
: >"$out/fleet.log"
"$programs/hearth" up -n 2 --http off >"$out/fleet.log" 2>&1 &
fleet=$!
until grep -q '^ready' "$out/fleet.log"; do
    kill -0 "$fleet" 2>/dev/null || { cat "$out/fleet.log" >&2; die "the fleet did not come up"; }
    sleep 0.1
done
printf '  ready after %s ms\n' $((($(date +%s%N) - begin) / 1000000))
hearth -q workers

read -ra pids <<<"$(counter pid)"
ticks=$(started "${pids[@]}")
loads=$(counter model_loads)

say "A first coordinator comes, has a picture made, and goes:"
coordinate "first coordinator " "red heart" --seed 42 -o "$out/red-heart.png"

say "A second one, another process, finds the same workers warm:"
coordinate "second coordinator" "pizza" --seed 7 -o "$out/pizza.png"

say "And four pictures of one prompt over both workers:"
hearth -q generate "dog face" -n 4 --seed 1 -o "$out/dog-face.png" >/dev/null
hearth -q generate "blue heart" --seed 3 --scheduler euler_a -o "$out/blue-heart.png" >/dev/null

say "The workers are the same processes, and loaded their model once:"
printf '  pids                          %s\n' "${pids[*]}"
printf '  started (ticks since boot)    before %s, now %s\n' "$ticks" "$(started "${pids[@]}")"
printf '  model loads                   before %s, now %s\n' "$loads" "$(counter model_loads)"
printf '  pictures made                 %s\n' "$(counter done)"
[ "$ticks" = "$(started "${pids[@]}")" ] || die "a worker was restarted"
[ "$loads" = "$(counter model_loads)" ] || die "a model was loaded again"

stop
fleet=
for pid in "${pids[@]}"; do
    if kill -0 "$pid" 2>/dev/null; then die "worker $pid still runs"; fi
done
say "Everything has ended. Pictures:"
for picture in "$out"/*.png; do printf '  %s\n' "$PWD/$picture"; done
