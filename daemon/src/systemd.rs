//! What a daemon tells systemd, where it runs under it: sd_notify(3). The only home of `sd-notify`.

use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon serves.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The daemon is on its way out.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// One line for people, as `systemctl status` shows it.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The daemon is alive, for its unit's `WatchdogSec`.
pub fn watchdog() {
    tell(&[NotifyState::Watchdog]);
}

/// The start or the end may take so much longer than the unit's timeouts say, from now on.
pub fn extend_timeout(by: Duration) {
    let by = u32::try_from(by.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(by)]);
}

/// Without systemd there is nobody to tell.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
