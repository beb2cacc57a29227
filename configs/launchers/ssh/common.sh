# What the five programs share; they are run here, and need jq and ssh.
#
# A program reads one JSON document on standard input, prints one, and says by its exit status what
# came of it: docs/launchers.md. What it does on a host is a function of far.sh, which it sends there.
set -euf

REFUSED=10
TRY_AGAIN=75

here=$(dirname "$0")
request=$(cat)

# Asks jq of the request.
ask() { printf '%s' "$request" | jq -r "$@"; }

# The host of a replica: the one that it was started on, else its turn among those that were named.
HOST='def host($replica): $replica.handle.host // (. as $request | .placement.hosts
    | .[($replica.rank + $request.first_rank) % length]);'

# The hosts of the request's replicas, each once.
hosts() { ask "$HOST"'[host(.replicas[])] | unique[]'; }

# refuse FIELD REMEDY: nothing was done, and nothing would be.
refuse() {
    jq -n --arg field "$1" --arg remedy "$2" '{$field, $remedy}'
    printf '%s: %s\n' "$1" "$2" >&2
    exit $REFUSED
}

# on HOST: runs there, after far.sh, what comes on standard input. A host that can't be reached may
# be later.
on() {
    status=0
    { cat "$here/far.sh" && cat; } | ssh ${HEARTH_SSH_CONFIG:+-F "$HEARTH_SSH_CONFIG"} -T \
        -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -- "$1" sh -s || status=$?
    [ $status != 255 ] || status=$TRY_AGAIN
    return $status
}

# each HOST FUNCTION: a line of far.sh's for each replica of a host, `folder` being its own.
each() {
    ask --arg host "$1" --arg function "$2" "$HOST"'
        . as $request | .replicas[] | . as $replica | select($request | host($replica) == $host)
        | "folder=\(.folder | @sh); \($function) \(.rank)"'
}
