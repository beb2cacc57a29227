#!/usr/bin/env bash
# Copies what was built to where a system has it: `make install` calls it. Nothing is started.
#
#   DESTDIR   a folder in place of the file system's root, for packages
#   PREFIX    /usr/local, or /usr for a distribution's package
#   PROGRAMS  where the programs are: target/release
set -euo pipefail
cd "$(dirname "$0")/.."

destdir=${DESTDIR:-}
prefix=${PREFIX:-/usr/local}
programs=${PROGRAMS:-target/release}
library=.deps/onnxruntime

# As the file system has it, and without a doubled slash.
at() { printf '%s%s' "${destdir%/}" "$1"; }
put() { # MODE FOLDER FILE...
    local mode=$1 folder
    folder=$(at "$2")
    shift 2
    install -d -m 755 "$folder"
    install -m "$mode" -t "$folder" "$@"
}
# A file under another name, with the programs' folder as it is installed.
unit() { # SOURCE TARGET
    install -d -m 755 "$(dirname "$(at "$2")")"
    sed "s|/usr/bin/hearth|$prefix/bin/hearth|g" "$1" >"$(at "$2").new"
    chmod 644 "$(at "$2").new"
    mv "$(at "$2").new" "$(at "$2")"
}

# A program's line numbers are most of its size. They lie beside it, where backtraces and gdb look.
program() { # NAME
    local bin
    bin=$(at "$prefix/bin")
    install -d -m 755 "$bin/.debug"
    objcopy --only-keep-debug --compress-debug-sections "$programs/$1" "$bin/.debug/$1.debug"
    chmod 644 "$bin/.debug/$1.debug"
    objcopy --strip-debug --add-gnu-debuglink="$bin/.debug/$1.debug" "$programs/$1" "$bin/$1.new"
    chmod 755 "$bin/$1.new"
    mv "$bin/$1.new" "$bin/$1"
}
program hearth
program hearth-worker
program hearth-coordinator

# The daemons look for it beside themselves, in ../lib/hearth.
put 644 "$prefix/lib/hearth" "$library"/libonnxruntime.so.*
put 644 "$prefix/share/doc/hearth" README.md CHANGELOG.md LICENSE docs/*.md
put 644 "$prefix/share/doc/hearth/onnxruntime" "$library/LICENSE" "$library/ThirdPartyNotices.txt"
put 644 "$prefix/share/doc/hearth/examples" configs/worker.toml configs/coordinator.toml \
    configs/systemd/worker-0.env configs/systemd/gpu.conf configs/systemd/owning.conf

(cd models && find emoji -type f) | while read -r file; do
    put 644 "$prefix/share/hearth/models/$(dirname "$file")" "models/$file"
done

# systemd looks into lib of /usr and of /usr/local.
unit configs/systemd/hearth-worker@.service "$prefix/lib/systemd/system/hearth-worker@.service"
unit configs/systemd/hearth-coordinator.service "$prefix/lib/systemd/system/hearth-coordinator.service"
unit configs/systemd/sysusers.conf "$prefix/lib/sysusers.d/hearth.conf"
unit configs/systemd/tmpfiles.conf "$prefix/lib/tmpfiles.d/hearth.conf"
unit configs/systemd/sysctl.conf "$prefix/lib/sysctl.d/60-hearth.conf"

# Man pages and completions are the programs' own words.
"$programs/hearth" man --dir "$(at "$prefix/share/man/man1")" >/dev/null
completions() { # SHELL FILE
    install -d -m 755 "$(dirname "$(at "$2")")"
    "$programs/hearth" completions "$1" >"$(at "$2")"
    chmod 644 "$(at "$2")"
}
completions bash "$prefix/share/bash-completion/completions/hearth"
completions zsh "$prefix/share/zsh/vendor-completions/_hearth"
completions fish "$prefix/share/fish/vendor_completions.d/hearth.fish"
