# Runs on the hosts, under a POSIX shell of Linux with GNU's coreutils and grep, and setsid.
#
# $folder is a replica's own: replica.sh watches over it and has start.sh run; `supervisor` says which
# process it is, `state` where the replica is, `cancel` that it is to end, and `log` is its output.
umask 077

# Bytes of the log's newest file, or up to 4 MiB more; there is one older one.
LOG_BYTES=16777216

# identity PID: its number, start and boot, since another process may come to have its number.
identity() {
    pid=$1
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
    # shellcheck disable=SC2086  # its fields
    set -- ${stat##*) }
    [ "$1" != Z ] || return 1
    shift 19
    echo "$pid $1 $(cat /proc/sys/kernel/random/boot_id)"
}

# The supervisor's process, where it runs.
supervisor() {
    kept=$(cat "$folder/supervisor" 2>/dev/null)
    [ -n "$kept" ] && [ "$(identity "${kept%% *}")" = "$kept" ] && echo "${kept%% *}"
}

# put FILE TEXT: a reader sees the old text or the new.
put() { printf '%s\n' "$2" >"$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"; }

# signal NAME PID: to a whole process group, or before it is one to its first process.
signal() { kill "-$1" "-$2" 2>/dev/null || kill "-$1" "$2" 2>/dev/null || :; }

# Kills what is left of a replica, whatever group and session it is in: its environment tells it.
clear_away() {
    round=0
    while [ $round -lt 100 ]; do
        round=$((round + 1))
        pids=$(grep -lszxF "REPLICA_RESULT=$folder/result.json" /proc/[0-9]*/environ | tr -dc '0-9\n')
        [ -n "$pids" ] || return 0
        # shellcheck disable=SC2086  # one word for each process
        kill -KILL $pids 2>/dev/null
        sleep 0.02
    done
}

# --- launch ---

# Starts the replica, once, however often this is asked for.
start() {
    if mkdir "$folder/started" 2>/dev/null; then
        setsid sh "$folder/replica.sh" </dev/null >/dev/null 2>&1 &
    fi
    round=0
    until [ -s "$folder/supervisor" ]; do
        round=$((round + 1))
        [ $round -lt 300 ] || { echo "$folder/replica.sh does not begin" >&2; exit 1; }
        sleep 0.1
    done
}

# --- what replica.sh does ---

# after SECONDS COMMAND: in a process group of its own, $timer, which can be ended whole.
after() {
    setsid sh -c "sleep $1; $2" </dev/null >/dev/null 2>&1 &
    timer=$!
}

# Asks the program to end, and kills it when its grace is over.
end() {
    [ -n "$program" ] || return 0
    signal TERM "$program"
    after "$grace" "kill -KILL -$program"
    timers="$timers $timer"
}

# Writes each line as it comes, some hundred reads at a time, until nothing comes any more.
keep_log() {
    size=0
    while :; do
        dd of="$folder/log" bs=16k count=256 oflag=append conv=notrunc 2>/dev/null
        before=$size
        size=$(wc -c <"$folder/log")
        [ "$size" -gt "$before" ] || return 0
        if [ "$size" -ge $LOG_BYTES ]; then
            mv "$folder/log" "$folder/log.1"
            size=0
        fi
    done
}

# supervise TIMEOUT GRACE: runs start.sh to its end, in seconds; no timeout is an empty one.
supervise() {
    timeout=$1 grace=$2 program='' timers='' cancelled='' late=''
    trap 'cancelled=yes; end' TERM
    trap 'late=yes; end' USR1
    put supervisor "$(identity $$)"
    # Asked for before this could hear of it.
    if [ -e "$folder/cancel" ]; then
        put state '"status":"cancelled"'
        return
    fi
    mkfifo "$folder/output"
    keep_log <"$folder/output" &
    keeper=$!
    # A shell has what it starts in the background ignore INT and QUIT.
    setsid env --default-signal=INT,QUIT sh "$folder/start.sh" </dev/null >"$folder/output" 2>&1 &
    program=$!
    [ -z "$cancelled" ] || end
    put state "\"status\":\"running\",\"pid\":$program"
    if [ -n "$timeout" ]; then
        after "$timeout" "kill -USR1 $$"
        timers="$timers $timer"
    fi
    while :; do
        status=0
        wait "$program" || status=$?
        # A signal to this shell ends the wait before the program's end.
        kill -0 "$program" 2>/dev/null || break
    done
    clear_away
    after 1 "kill $keeper"
    wait "$keeper"
    for group in $timers $timer; do signal KILL "$group"; done
    # Keys among them.
    rm -rf "$folder/files" "$folder/output"
    if [ -n "$cancelled" ]; then
        put state '"status":"cancelled"'
    elif [ -n "$late" ]; then
        put state "\"status\":\"failed\",\"error\":\"ran longer than ${timeout}s\""
    elif [ -e "$folder/refused" ]; then
        put state '"status":"failed","error":"the program can'\''t be run: its log says why"'
    elif [ "$status" = 0 ]; then
        put state '"status":"succeeded","exit_code":0'
    elif [ "$status" -gt 128 ]; then
        put state "\"status\":\"failed\",\"error\":\"killed by signal $((status - 128))\""
    else
        put state "\"status\":\"failed\",\"exit_code\":$status,\"error\":\"ended with status $status\""
    fi
}

# --- poll, logs, cancel, collect ---

# is_over: whether the state says so.
is_over() {
    state=$(cat "$folder/state" 2>/dev/null)
    case $state in '' | '"status":"running"'*) return 1 ;; esac
}

# Makes $state true: it may be that nobody is left to say how the replica ended.
look() {
    is_over && return
    if supervisor >/dev/null; then
        state=${state:-'"status":"pending"'}
    elif is_over; then
        return
    elif [ -s "$folder/supervisor" ]; then
        clear_away
        state='"status":"failed","error":"what watched over it was killed, or its host started anew"'
        [ ! -e "$folder/cancel" ] || state='"status":"cancelled"'
        put state "$state"
    elif [ -e "$folder/cancel" ]; then
        state='"status":"cancelled"'
    elif [ -n "$(find "$folder/replica.sh" -mmin +15 2>/dev/null)" ]; then
        state='"status":"failed","error":"its launch was broken off"'
    elif [ -e "$folder/replica.sh" ]; then
        state='"status":"pending"'
    else
        state='"status":"unknown"'
    fi
}

# report RANK: the replica as a line of JSON.
report() {
    look
    printf '{"rank":%s,"host":"%s",%s}\n' "$1" "$(uname -n)" "$state"
}

# cancel RANK: asks for its end, also of one that is still to be started.
cancel() {
    mkdir -p "$folder" && : >"$folder/cancel" || exit 1
    # Keys are left for nobody.
    [ -s "$folder/supervisor" ] || rm -rf "$folder/files"
    pid=$(supervisor) && kill -TERM "$pid"
    return 0
}

# kill_all RANK: ends it without asking; the next look says so.
kill_all() {
    cancel "$1"
    pid=$(supervisor) && kill -KILL "$pid"
    clear_away
}

# lines TAIL FOLLOW: its output, the last so many lines of it, or all where none is said.
lines() {
    [ -e "$folder/replica.sh" ] || exit 11
    pid=''
    if [ "$2" = true ]; then
        until pid=$(supervisor) && [ -e "$folder/log" ] || is_over; do
            look
            [ "$state" != '"status":"cancelled"' ] || return 0
            sleep 0.2
        done
    fi
    if [ -z "$pid" ]; then
        cat "$folder/log.1" "$folder/log" 2>/dev/null | if [ -n "$1" ]; then tail -n "$1"; else cat; fi
        return 0
    fi
    new=$(wc -l <"$folder/log")
    if [ -z "$1" ]; then
        cat "$folder/log.1" 2>/dev/null
    elif [ "$1" -gt "$new" ]; then
        tail -n $(($1 - new)) "$folder/log.1" 2>/dev/null
    fi
    exec tail -n "${1:-+1}" -s 0.1 --pid="$pid" -F "$folder/log" 2>/dev/null
}

# result: what the replica left, or nothing.
result() {
    [ -e "$folder/replica.sh" ] || exit 11
    [ ! -f "$folder/result.json" ] || cat "$folder/result.json"
}
