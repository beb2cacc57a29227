#!/bin/sh
# Runs the command "$@" beside a systemd user manager and a journal of its own: the first process of
# fresh process and mount namespaces, with an empty /run. All processes end with this one.
#
# HEARTH_TEST_MANAGER is the folder for the manager's files, HEARTH_TEST_CGROUP the name of the control
# group that keeps its units apart from others'. The status is 77 where the system denies what the
# manager needs; the last line on standard error says what.
set -eu

deny() {
    echo "$*" >&2
    exit 77
}

# From here on no mount reaches the system's. The folder of a chroot is no mount that could be made
# private, so its tree is bound over one that can, /proc, and becomes the root.
if [ "${1-}" = --in-own-root ]; then
    shift
elif ! mount --make-rprivate / 2>/dev/null; then
    { mount --make-private /proc && mount --rbind / /proc && mount --make-rprivate /proc; } ||
        deny "mounts are refused"
    cd /proc
    exec chroot . /bin/sh "$0" --in-own-root "$@"
fi
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
# Not below /run/user, which units with ProtectHome= don't see: they must reach the manager.
export XDG_RUNTIME_DIR=/run/manager
export HOME=$HEARTH_TEST_MANAGER/home
# Programs take the folder for the word that systemd runs here.
mkdir -p /run/systemd/system /run/systemd/journal "$XDG_RUNTIME_DIR" "$HOME"
chmod 700 "$XDG_RUNTIME_DIR"
# What sandboxed units see in place of what is hidden from them; the first process of a real system
# makes these.
mkdir -m 000 /run/systemd/inaccessible /run/systemd/inaccessible/dir
(umask 777 && : >/run/systemd/inaccessible/reg && mkfifo /run/systemd/inaccessible/fifo)
unset DBUS_SESSION_BUS_ADDRESS NOTIFY_SOCKET INVOCATION_ID

groups() {
    for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
        [ ! -f "$hierarchy/cgroup.procs" ] || echo "$hierarchy"
    done
}
# A container or a chroot may see no control groups, though the kernel has them.
mounted=
if [ -z "$(groups)" ]; then
    [ -d /sys/fs/cgroup ] || mount -t sysfs sysfs /sys || deny "the kernel shows no /sys"
    mount -t cgroup2 cgroup2 /sys/fs/cgroup || deny "there are no control groups"
    mounted=yes
fi
for hierarchy in $(groups); do
    mkdir -p "$hierarchy/$HEARTH_TEST_CGROUP" || deny "control groups can't be made"
done
# The manager builds below the group that it is in.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [ ! -f "$hierarchy/cgroup.procs" ] || echo 0 >"$hierarchy/$HEARTH_TEST_CGROUP/cgroup.procs"
done

/usr/lib/systemd/systemd-journald 2>/dev/null &
/usr/lib/systemd/systemd --user --log-target=journal &
manager=$!

# Groups that are seen in here alone are removed in here: that takes the end of all that is in them.
finish() {
    [ -n "$mounted" ] || exit "$1"
    kill -KILL -1
    wait
    echo 0 >/sys/fs/cgroup/cgroup.procs
    find "/sys/fs/cgroup/$HEARTH_TEST_CGROUP" -depth -type d -exec rmdir {} + || true
    exit "$1"
}
fail() {
    echo "The journal's last lines:" >&2
    journalctl --directory /run/log/journal --no-hostname _TRANSPORT=journal + _TRANSPORT=stdout |
        tail -n 40 >&2
    finish 1
}
until systemctl --user list-units >/dev/null 2>&1; do
    kill -0 $manager || fail
    sleep 0.05
done
# The message bus is among what it waits for.
systemctl --user start default.target || fail
"$@" || fail
finish 0
