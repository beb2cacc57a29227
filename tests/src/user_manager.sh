#!/bin/sh
# Runs the command "$@" beside a systemd user manager and a journal of its own: the first process of
# fresh process and mount namespaces, with an empty /run. All processes end with this one.
#
# HEARTH_TEST_MANAGER is the folder for the manager's files, HEARTH_TEST_CGROUP the name of the control
# group that keeps its units apart from others'.
set -eu
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

for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    [ ! -f "$hierarchy/cgroup.procs" ] || mkdir -p "$hierarchy/$HEARTH_TEST_CGROUP"
done
# The manager builds below the group that it is in.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
    [ ! -f "$hierarchy/cgroup.procs" ] || echo 0 >"$hierarchy/$HEARTH_TEST_CGROUP/cgroup.procs"
done

/usr/lib/systemd/systemd-journald 2>/dev/null &
/usr/lib/systemd/systemd --user --log-target=journal &
manager=$!

fail() {
    echo "The journal's last lines:" >&2
    journalctl --directory /run/log/journal --no-hostname _TRANSPORT=journal + _TRANSPORT=stdout |
        tail -n 40 >&2
    exit 1
}
until systemctl --user list-units >/dev/null 2>&1; do
    kill -0 $manager || fail
    sleep 0.05
done
# The message bus is among what it waits for.
systemctl --user start default.target || fail
"$@" || fail
