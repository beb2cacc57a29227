//! `hearth pki`: a small certificate authority for clusters that have none.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hearth_fabric::identity::{
    Authority, CA_FILE, CERTIFICATE_FILE, KEY_FILE, REVOCATIONS_FILE, certificate, fingerprint,
    peer_id, pki, revocation, validity,
};
use hearth_protocol::role::Role;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;

use crate::app::App;
use crate::args::PkiCommand;
use crate::exit::{Failure, Status};
use crate::output::table::{Rows, Tint};
use crate::output::text;

const DAY: u64 = 24 * 3600;
/// A certificate is shown as due this many days before it expires.
const DUE: Duration = Duration::from_secs(30 * DAY);

pub(super) fn run(command: &PkiCommand, app: &App) -> Result<Status, Failure> {
    match command {
        PkiCommand::Init { dir, cluster, days } => init(dir, cluster, *days, app),
        PkiCommand::Issue { role, names, dir, out, days, sans } => {
            issue(*role, names, dir, out.as_deref(), *days, sans, app)
        }
        PkiCommand::Renew { folders, dir, days } => renew(folders, dir, *days, app),
        PkiCommand::Revoke { certificates, dir, to } => revoke(certificates, dir, to, app),
        PkiCommand::Show { path } => show(path, app),
    }
}

fn days(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * DAY)
}

#[derive(Serialize)]
struct IdentityReport {
    id: String,
    dir: PathBuf,
}

fn init(dir: &Path, cluster: &str, valid: u32, app: &App) -> Result<Status, Failure> {
    let authority = Authority::create(cluster, days(valid))?;
    authority.save(dir)?;
    if app.output.json {
        app.output
            .json(&IdentityReport { id: format!("spiffe://{cluster}"), dir: dir.to_owned() })?;
        return Ok(Status::Done);
    }
    let shown = dir.display();
    app.output.line(format_args!("{shown}/{CA_FILE}  {shown}/{}", pki::CA_KEY_FILE))?;
    app.output.note(format_args!(
        "{} signs for cluster {cluster}: keep it to yourself. Next: hearth pki issue --dir {shown} \
         --role worker NAME…",
        pki::CA_KEY_FILE
    ));
    Ok(Status::Done)
}

fn issue(
    role: Role,
    names: &[String],
    authority: &Path,
    out: Option<&Path>,
    valid: u32,
    sans: &[String],
    app: &App,
) -> Result<Status, Failure> {
    let distinct: BTreeSet<_> = names.iter().collect();
    if distinct.len() != names.len() {
        return Err(Failure::usage("a name is given twice: each gets one certificate"));
    }
    let authority_dir = authority;
    let authority = Authority::load(authority_dir)?;
    // All are created before the first is written, so that a wrong name leaves nothing behind.
    let issued = names
        .iter()
        .map(|name| authority.issue(role, name, days(valid), sans))
        .collect::<Result<Vec<_>, _>>()?;
    let mut made = Vec::new();
    for issued in issued {
        let dir = match out {
            Some(out) if names.len() == 1 => out.to_owned(),
            other => {
                let own = format!("{role}-{}", issued.id.name());
                other.unwrap_or(Path::new("")).join(own)
            }
        };
        if same_folder(&dir, authority_dir) {
            return Err(Failure::usage(format!(
                "--out {} is the authority's own folder: name another",
                dir.display()
            )));
        }
        issued.write(&dir)?;
        made.push(IdentityReport { id: issued.id.to_string(), dir });
    }
    report(&made, app)?;
    let plural = if made.len() == 1 { "The folder has" } else { "Each folder has" };
    app.output.note(format_args!("{plural} {CA_FILE}, {CERTIFICATE_FILE} and {KEY_FILE}"));
    Ok(Status::Done)
}

fn renew(folders: &[PathBuf], dir: &Path, valid: u32, app: &App) -> Result<Status, Failure> {
    let authority = Authority::load(dir)?;
    // As with `issue`: a folder that can't be renewed leaves the others as they are.
    let renewed = folders
        .iter()
        .map(|folder| Ok((folder, authority.renew(folder, days(valid))?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let mut made = Vec::new();
    for (folder, renewed) in renewed {
        renewed.write_renewed(folder)?;
        made.push(IdentityReport { id: renewed.id.to_string(), dir: folder.clone() });
    }
    report(&made, app)?;
    app.output.note(format_args!(
        "valid for {valid} days, each with the key that it had. What runs takes it up within seconds"
    ));
    Ok(Status::Done)
}

fn revoke(
    certificates: &[PathBuf],
    dir: &Path,
    to: &[PathBuf],
    app: &App,
) -> Result<Status, Failure> {
    let mut authority = Authority::load(dir)?;
    let revoked = authority.revoke(dir, certificates)?;
    for folder in to {
        revocation::copy_into(folder, authority.revocations_pem())?;
    }
    let made: Vec<_> = revoked
        .iter()
        .map(|id| IdentityReport { id: id.to_string(), dir: dir.to_owned() })
        .collect();
    report(&made, app)?;
    let list = dir.join(REVOCATIONS_FILE);
    let list = list.display();
    app.output.note(match revoked.len() {
        0 => format!("{list} had them all already"),
        _ => {
            format!("{list} lists them: it belongs beside every {CA_FILE} (--to FOLDER copies it)")
        }
    });
    Ok(Status::Done)
}

fn report(made: &[IdentityReport], app: &App) -> Result<(), Failure> {
    if app.output.json {
        return app.output.json(&made);
    }
    made.iter().try_for_each(|IdentityReport { id, dir }| {
        app.output.line(format_args!("{}  {id}", dir.display()))
    })
}

fn same_folder(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// What one certificate says.
#[derive(Serialize)]
struct CertificateReport {
    file: PathBuf,
    id: Option<String>,
    kind: String,
    not_before: String,
    not_after: String,
    expired: bool,
    fingerprint: String,
    /// Whether a revocation list beside it has it.
    revoked: bool,
    #[serde(skip)]
    remaining: Duration,
}

fn show(path: &Path, app: &App) -> Result<Status, Failure> {
    let files = certificate_files(path)?;
    let now = SystemTime::now();
    let mut shown = Vec::new();
    for file in &files {
        shown.extend(read(file, now)?);
    }
    if app.output.json {
        app.output.json(&shown)?;
    } else {
        let headings = ["file", "kind", "id", "valid until", "left", "sha-256"];
        let mut rows = Rows::new(&app.output, &headings);
        for row in &shown {
            let (left, tint) = match row.remaining {
                _ if row.revoked => ("revoked".to_owned(), Tint::Bad),
                _ if row.expired => ("expired".to_owned(), Tint::Bad),
                remaining if remaining < DUE => (text::span(remaining), Tint::Busy),
                remaining => (text::span(remaining), Tint::Good),
            };
            let left = rows.tinted(left, tint);
            rows.add(vec![
                row.file.display().to_string().into(),
                row.kind.clone().into(),
                row.id.clone().unwrap_or_else(|| "-".to_owned()).into(),
                row.not_after.clone().into(),
                left,
                row.fingerprint[..16].to_owned().into(),
            ]);
        }
        app.output.line(rows.text())?;
    }
    let bad = shown.iter().any(|row| row.expired || row.revoked);
    Ok(if bad { Status::Failed } else { Status::Done })
}

/// The certificates of a folder and of the folders in it, or the file itself.
fn certificate_files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable = |error: std::io::Error| {
        Failure::usage(format!("{} can't be read", path.display())).caused_by(Some(&error))
    };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut folders = vec![path.to_owned()];
    let mut below: Vec<_> = fs::read_dir(path)
        .map_err(unreadable)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    below.sort();
    folders.extend(below);
    let files = folders.iter().flat_map(|dir| [dir.join(CA_FILE), dir.join(CERTIFICATE_FILE)]);
    let files: Vec<_> = files.filter(|file| file.is_file()).collect();
    if files.is_empty() {
        return Err(Failure::usage(format!(
            "{} holds neither {CA_FILE} nor {CERTIFICATE_FILE}: make them with hearth pki init and \
             hearth pki issue",
            path.display()
        )));
    }
    Ok(files)
}

fn read(file: &Path, now: SystemTime) -> Result<Vec<CertificateReport>, Failure> {
    let pem = fs::read(file).map_err(|error| {
        Failure::usage(format!("{} can't be read", file.display())).caused_by(Some(&error))
    })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => found.iter().map(|der| one(file, der, now)).collect(),
        _ => Err(Failure::usage(format!(
            "{} holds no certificate in PEM form: name a folder, or a file such as {CERTIFICATE_FILE}",
            file.display()
        ))),
    }
}

/// Whether the list beside a certificate has it. One that can't be read is the daemons' to refuse.
fn is_revoked(file: &Path, der: &CertificateDer<'_>) -> bool {
    let list = file.with_file_name(REVOCATIONS_FILE);
    revocation::is_listed(&list, der).unwrap_or(false)
}

fn one(
    file: &Path,
    der: &CertificateDer<'_>,
    now: SystemTime,
) -> Result<CertificateReport, Failure> {
    let validity = validity(der).map_err(|error| {
        Failure::usage(format!("{} can't be read", file.display())).caused_by(Some(&error))
    })?;
    let (kind, id) = match peer_id(der) {
        Ok(id) => (id.role().to_string(), Some(id.to_string())),
        Err(certificate::Error::Authority) => ("authority".to_owned(), None),
        Err(_) => ("other".to_owned(), None),
    };
    Ok(CertificateReport {
        file: file.to_owned(),
        id,
        kind,
        not_before: text::instant(validity.not_before),
        not_after: text::instant(validity.not_after),
        expired: now > validity.not_after,
        fingerprint: fingerprint(der),
        revoked: is_revoked(file, der),
        remaining: validity.remaining(now),
    })
}
