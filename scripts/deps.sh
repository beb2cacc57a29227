#!/usr/bin/env bash
# Brings what a bare Debian or Ubuntu machine lacks. Name what is needed:
#
#   cc           a C compiler and linker, to build the crates that carry C code
#   onnxruntime  the ONNX Runtime library, in .deps/onnxruntime (scripts/onnxruntime.sh)
#   etcd         an etcd server in .deps/bin, for the tests; no service is installed or started
#   localhost    the name, in /etc/hosts, which a root without an installer's touch lacks
#   iproute2     the command `ip`, with which the tests make networks of their own
#   systemd      the programs of systemd, which the tests run; nothing is started
#   slurm        Slurm and munge in .deps/slurm, for the tests; nothing is installed or started
#   sshd         an OpenSSH server and jq in .deps/sshd, for the tests; nothing is started, and root
#                gets the user `sshd`, without which the server refuses to run for it
#   cargo-deb    what makes Debian packages, in .deps/bin, for `make deb`
#   cargo-deny   the checker of licences and sources, in .deps/bin, for `make lint`
#
# What is there already is left alone, and then no network is used. Rust itself has to be there.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'deps: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
has_bin() { has "$1" || [ -x ".deps/bin/$1" ]; }

# A folder on the file system of .deps, so that a finished file moves there in one step.
mkdir -p .deps/bin
work=$(mktemp -d "$PWD/.deps/work.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Runs a command as root, or says what to type.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif has sudo && sudo -n true 2>/dev/null; then
        sudo -n "$@"
    else
        die "this needs root. Type: sudo $*"
    fi
}

# Runs an apt-get command, and once more after fetching the package lists, which bare images lack.
with_lists() {
    has apt-get || die "no apt-get on this machine. Install what this would: $*"
    "$@" >&2 && return
    as_root apt-get update >&2
    "$@" >&2
}

install_packages() {
    say "installing $* with apt-get"
    with_lists as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"
}

# unpack FOLDER PACKAGE…: the packages, with those that they need and this machine lacks, in
# .deps/FOLDER.
unpack() {
    local folder=$1 lacking
    shift
    mkdir "$work/$folder"
    (cd "$work/$folder" && with_lists apt-get download "$@")
    lacking=$(apt-get install --simulate --no-install-recommends "$@" |
        awk '/^Inst/ { print $2 }' | grep -vxF "$(printf '%s\n' "$@")" || true)
    # shellcheck disable=SC2086  # one word for each package
    if [ -n "$lacking" ]; then (cd "$work/$folder" && apt-get download $lacking >&2); fi
    for package in "$work/$folder"/*.deb; do dpkg-deb -x "$package" "$work/root-$folder"; done
    mv "$work/root-$folder" ".deps/$folder"
}

need_cc() {
    if echo 'int main(void) { return 0; }' | cc -x c -o "$work/probe" - 2>/dev/null; then return; fi
    install_packages gcc libc6-dev
}

need_onnxruntime() {
    local status=0
    scripts/onnxruntime.sh || status=$?
    if [ $status = 3 ]; then
        install_packages python3 python3-pip
        scripts/onnxruntime.sh
    elif [ $status != 0 ]; then
        exit 1
    fi
}

# Debian's package is unpacked rather than installed: installed, it would start a server.
need_etcd() {
    if has_bin etcd; then return; fi
    say "unpacking etcd-server into .deps/bin"
    (cd "$work" && with_lists apt-get download etcd-server)
    dpkg-deb -x "$work"/etcd-server_*.deb "$work/root"
    mv "$work/root/usr/bin/etcd" .deps/bin/etcd
}

need_localhost() {
    if getent hosts localhost >/dev/null; then return; fi
    say "naming localhost in /etc/hosts"
    printf '127.0.0.1\tlocalhost\n' | as_root tee -a /etc/hosts >/dev/null
}

need_iproute2() {
    has ip || install_packages iproute2
}

need_systemd() {
    if has systemd-analyze && [ -f /usr/lib/systemd/user/dbus.socket ]; then return; fi
    install_packages systemd dbus-user-session
}

# Unpacked like etcd, with the libraries that this machine lacks. The tests start the daemons on
# ports and folders of their own, as the user that runs them.
need_slurm() {
    if [ -x .deps/slurm/usr/sbin/munged ]; then return; fi
    if has slurmctld && has slurmd && has munged && has sbatch; then return; fi
    say "unpacking Slurm into .deps/slurm"
    unpack slurm slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge libmunge2
}

# Unpacked like Slurm: installed, it would start a server. The tests start their own, as the user that
# runs them.
need_sshd() {
    has ssh && has ssh-keygen || install_packages openssh-client
    if [ "$(id -u)" = 0 ] && ! getent passwd sshd >/dev/null; then
        say "adding the user sshd"
        as_root useradd --system --no-create-home --home-dir /run/sshd \
            --shell /usr/sbin/nologin sshd
    fi
    if [ -x .deps/sshd/usr/sbin/sshd ]; then return; fi
    if [ -x /usr/sbin/sshd ] && has jq; then return; fi
    say "unpacking OpenSSH's server and jq into .deps/sshd"
    unpack sshd openssh-server jq
}

need_cargo_deny() {
    if has_bin cargo-deny; then return; fi
    say "building cargo-deny into .deps/bin (three to four minutes on two cores)"
    cargo install --quiet --locked --root "$work" --target-dir "$work/target" cargo-deny@0.20.2
    mv "$work/bin/cargo-deny" .deps/bin/cargo-deny
}

need_cargo_deb() {
    has dpkg-deb || install_packages dpkg
    if has_bin cargo-deb; then return; fi
    say "building cargo-deb into .deps/bin (some minutes)"
    cargo install --quiet --locked --root "$work" --target-dir "$work/target" \
        --no-default-features cargo-deb@3.8.0
    mv "$work/bin/cargo-deb" .deps/bin/cargo-deb
}

has cargo || die "no cargo on PATH. Install Rust with rustup, the version in Cargo.toml or newer."
[ $# -gt 0 ] || set -- cc onnxruntime etcd
for dependency in "$@"; do
    case "$dependency" in
        cc) need_cc ;;
        onnxruntime) need_onnxruntime ;;
        etcd) need_etcd ;;
        localhost) need_localhost ;;
        iproute2) need_iproute2 ;;
        slurm) need_slurm ;;
        sshd) need_sshd ;;
        systemd) need_systemd ;;
        cargo-deb) need_cargo_deb ;;
        cargo-deny) need_cargo_deny ;;
        *) die "$dependency is not known: the list is at the top of scripts/deps.sh" ;;
    esac
done
