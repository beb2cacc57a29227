//! Looks after the identity of a process that runs for long: takes up what its folder holds, and says
//! in time that the certificate is about to end.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hearth_base::{causes, files};

use super::certificate::Validity;
use super::files::{Files, Paths};
use super::{CurrentIdentity, Error, Identity};

/// How often the files are looked at: a revoked peer is out within a few seconds.
const LOOK: Duration = Duration::from_secs(1);

/// What is left of a certificate's time when that is said.
const NOTICES: [Duration; 2] = [Duration::from_secs(24 * 3600), Duration::from_secs(3600)];

/// Takes up new certificates, authorities and revocation lists from `dir` within about a second, and
/// logs a day and an hour before the end of the certificate, and at its end. Never ends by itself.
///
/// Files that don't fit together are looked at again: they may be in the middle of being replaced.
pub async fn follow(identity: CurrentIdentity, dir: PathBuf) {
    let mut notices = Notices::default();
    let mut fault = None;
    loop {
        let (current, at) = (identity.clone(), dir.clone());
        let outcome = files::run_blocking(move || refresh(&current, &at)).await;
        match outcome {
            Ok(Ok(true)) => {
                let now = identity.get();
                let certificate = now.fingerprint();
                tracing::info!(
                    certificate,
                    "the certificate and its authorities are taken up anew"
                );
                fault = None;
            }
            Ok(Ok(false)) => fault = None,
            Ok(Err(error)) => {
                let error = Some(causes::in_one_line(&error));
                if error != fault {
                    tracing::error!(error, "what was renewed is of no use yet: the old one stays");
                    fault = error;
                }
            }
            Err(error) => tracing::error!(%error, "the certificate's files can't be looked at"),
        }
        notices.say(&identity.get(), SystemTime::now());
        tokio::time::sleep(LOOK).await;
    }
}

/// Takes up what has changed; says whether anything has.
fn refresh(identity: &CurrentIdentity, dir: &Path) -> Result<bool, Error> {
    let found = Files::read(&Paths::new(dir))?.digest();
    if found == identity.get().digest() {
        return Ok(false);
    }
    identity.reload(dir).map(|_| true)
}

/// What was said of which certificate.
#[derive(Debug, Default)]
struct Notices {
    certificate: String,
    said: usize,
}

impl Notices {
    fn say(&mut self, identity: &Identity, now: SystemTime) {
        let certificate = identity.fingerprint();
        if certificate != self.certificate {
            *self = Self { certificate, said: 0 };
        }
        let due = notices_due(identity.validity(), now);
        if due <= self.said {
            return;
        }
        self.said = due;
        let (id, end) = (&identity.id, identity.validity().not_after);
        let end = humantime::format_rfc3339_seconds(end);
        if due > NOTICES.len() {
            tracing::error!(%id, %end, "the certificate has ended, nobody lets this process in: hearth pki renew");
        } else {
            let left = identity.validity().remaining(now);
            let left = humantime::format_duration(Duration::from_secs(left.as_secs() / 60 * 60));
            tracing::warn!(%id, %end, "the certificate ends in {left}: hearth pki renew");
        }
    }
}

/// How many notices are due: one for each of [`NOTICES`], and one for the end.
fn notices_due(validity: Validity, now: SystemTime) -> usize {
    let passed = NOTICES.iter().filter(|&&notice| validity.is_due(now, notice)).count();
    passed + usize::from(now > validity.not_after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_said_a_day_and_an_hour_before_and_when_it_comes() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let start = SystemTime::UNIX_EPOCH;
        let year = Validity { not_before: start, not_after: start + hours(8760) };
        for (after, due) in [
            (hours(8000), 0),
            (hours(8736), 0),
            (hours(8736) + Duration::from_secs(1), 1),
            (hours(8759), 1),
            (hours(8759) + Duration::from_secs(1), 2),
            (hours(8760), 2),
            (hours(8760) + Duration::from_secs(1), 3),
        ] {
            assert_eq!(notices_due(year, start + after), due, "{after:?}");
        }
        // One that lives for an hour is renewed every half an hour, and that is not worth a line.
        let hour = Validity { not_before: start, not_after: start + hours(1) };
        assert_eq!(notices_due(hour, start + hours(1) / 2), 0);
        assert_eq!(notices_due(hour, start + hours(1) * 3 / 4), 2);
    }
}
