//! `manifest.json`: the SHA-256 of every file of a folder, and the digest of what is used of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::digest_cache::DigestCache;
use super::error::Error;
use super::export::Folder;
use super::json;
use super::listing::{self, FileDigests};
use crate::brief::{VALUE, brief};
use crate::enclosure::Enclosure;
use crate::files::Text;
use crate::progress::Progress;

/// Its name in the folder.
pub const MANIFEST: &str = "manifest.json";
const ALGORITHM: &str = "sha256";

/// What a folder's model is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// `sha256:` and the digest over names and digests of the used files, in lowercase
    /// hexadecimal: the same for two folders that make the same pictures.
    pub digest: String,
    /// Whether a manifest vouches for the files.
    pub verified: bool,
}

/// Length and digest of every file of a folder, by its path in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    algorithm: String,
    files: BTreeMap<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    bytes: u64,
    sha256: String,
}

/// A file that isn't what the manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Its path in the folder.
    pub file: String,
    /// In what way.
    pub state: Differs,
    /// What was found, and what the manifest says.
    pub reason: String,
}

/// How a file can differ from its manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Differs {
    /// It is listed and not there.
    Missing,
    /// Its length or digest is another one, or it can't be read.
    Differs,
    /// It is there and not listed.
    Extra,
}

/// Digests of files, by their path in the folder.
type Digests = BTreeMap<PathBuf, String>;

impl Manifest {
    /// Digests every file beneath `root`, but for the manifest itself and what is hidden (names
    /// that begin with a dot).
    ///
    /// # Errors
    /// [`Error::NoFolder`]; [`Error::Io`] for a file that can't be read, [`Error::Digest`] for a link
    /// that leads out of the folder.
    pub fn make(root: &Path, progress: &Progress) -> Result<Self, Error> {
        let (mut files, mut known) = (BTreeMap::new(), FileDigests::default());
        let found = listing::files(root)?;
        let enclosure = Enclosure::new(root, &[]);
        for name in found.iter().filter(|name| *name != MANIFEST) {
            progress.expect(length(root, name, &enclosure)?);
        }
        for name in found.into_iter().filter(|name| name != MANIFEST) {
            let bytes = length(root, &name, &enclosure)?;
            let sha256 = known.or(&root.join(&name), |path| sha256(path, progress))?;
            files.insert(name, Entry { bytes, sha256 });
        }
        Ok(Self { algorithm: ALGORITHM.to_owned(), files })
    }

    /// The folder's manifest, if it has one.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Json`], [`Error::Digest`] for one of another algorithm or of files
    /// elsewhere.
    pub fn read(root: &Path) -> Result<Option<Self>, Error> {
        let path = root.join(MANIFEST);
        if !path.exists() {
            return Ok(None);
        }
        let manifest: Self = json::read(&path, Text::Manifest)?;
        let bad = |reason: String| Error::Digest { path: path.clone(), reason };
        if manifest.algorithm != ALGORITHM {
            let algorithm = brief(manifest.algorithm, VALUE);
            return Err(bad(format!("algorithm {algorithm:?} is not {ALGORITHM}")));
        }
        let plain = |name: &&String| {
            let mut way = Path::new(name).components();
            name.is_empty()
                || name.contains('\0')
                || !way.all(|step| matches!(step, Component::Normal(_)))
        };
        match manifest.files.keys().find(plain) {
            Some(name) => {
                let name = brief(name.clone(), VALUE);
                Err(bad(format!("{name:?} is not a path in the folder")))
            }
            None => Ok(Some(manifest)),
        }
    }

    /// As it is written: keys in order, so that equal folders give equal bytes.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        let format = serde_json::ser::PrettyFormatter::with_indent(b" ");
        let mut writer = serde_json::Serializer::with_formatter(&mut text, format);
        // Maps with text for keys, written into memory: nothing can fail.
        let _ = self.serialize(&mut writer);
        text.push(b'\n');
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether it lists nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Bytes of all files together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.values().fold(0, |sum, entry| sum.saturating_add(entry.bytes))
    }

    /// Every file of `root` that isn't what this says, in order of name.
    ///
    /// # Errors
    /// The folder can't be listed.
    pub fn differences(&self, root: &Path, progress: &Progress) -> Result<Vec<Difference>, Error> {
        self.differences_in(root, &Enclosure::new(root, &[]), progress)
    }

    /// The same where files may lie in `enclosure`.
    fn differences_in(
        &self,
        root: &Path,
        enclosure: &Enclosure,
        progress: &Progress,
    ) -> Result<Vec<Difference>, Error> {
        self.files.values().for_each(|entry| progress.expect(entry.bytes));
        let (mut differences, mut known) = (Vec::new(), FileDigests::default());
        let mut read = |path: &Path| known.or(path, |path| sha256(path, progress));
        for (name, entry) in &self.files {
            let state = match root.join(name).symlink_metadata() {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Differs::Missing,
                _ => Differs::Differs,
            };
            let checked = entry.measure(root, name, enclosure);
            let checked = checked.and_then(|()| entry.digest(root, name, &mut read));
            if let Err(error) = checked {
                let reason = match error {
                    Error::Digest { reason, .. } | Error::Unusable { reason, .. } => reason,
                    other => crate::chain::chain(&other),
                };
                differences.push(Difference { file: name.clone(), state, reason });
            }
        }
        for name in listing::files(root)? {
            if name != MANIFEST && !self.files.contains_key(&name) {
                let reason = format!("not listed in {MANIFEST}");
                differences.push(Difference { file: name, state: Differs::Extra, reason });
            }
        }
        differences.sort_by(|a, b| a.file.cmp(&b.file));
        Ok(differences)
    }

    /// Checks every file that is listed; gives back their digests.
    fn verify(
        &self,
        root: &Path,
        enclosure: &Enclosure,
        digested: &DigestCache,
        progress: &Progress,
    ) -> Result<Digests, Error> {
        // Lengths are known at once: what was cut short is refused before gigabytes are read.
        for (name, entry) in &self.files {
            entry.measure(root, name, enclosure)?;
        }
        let mut known = FileDigests::default();
        let mut read = |path: &Path| known.or(path, |path| digested.sha256(path, progress));
        let digest = |(name, entry): (&String, &Entry)| {
            entry.digest(root, name, &mut read)?;
            Ok((PathBuf::from(name), entry.sha256.to_ascii_lowercase()))
        };
        self.files.iter().map(digest).collect()
    }
}

impl Difference {
    /// The component that the file is in; `.` for the folder itself.
    #[must_use]
    pub fn component(&self) -> &str {
        self.file.split_once('/').map_or(".", |(component, _)| component)
    }

    /// What differs, with file and remedy.
    #[must_use]
    pub fn message(&self, root: &Path) -> String {
        Error::Digest { path: root.join(&self.file), reason: self.reason.clone() }.to_string()
    }
}

impl Entry {
    /// Checks that the file is there, where it may lie, and as long as it must be.
    fn measure(&self, root: &Path, name: &str, enclosure: &Enclosure) -> Result<(), Error> {
        let bytes = length(root, name, enclosure)?;
        if bytes == self.bytes {
            return Ok(());
        }
        let reason = format!("{bytes} bytes, but {MANIFEST} says {}", self.bytes);
        Err(Error::Digest { path: root.join(name), reason })
    }

    fn digest(
        &self,
        root: &Path,
        name: &str,
        read: &mut impl FnMut(&Path) -> Result<String, Error>,
    ) -> Result<(), Error> {
        let path = root.join(name);
        let digest = read(&path)?;
        if digest.eq_ignore_ascii_case(&self.sha256) {
            return Ok(());
        }
        let listed = brief(self.sha256.clone(), VALUE);
        let reason = format!("SHA-256 {digest}, but {MANIFEST} says {listed}");
        Err(Error::Digest { path, reason })
    }
}

/// Digests the `used` files of `folder`; where there is a `manifest.json`, every file that it lists is
/// verified, and every used file must be listed. `progress` is told how much there is to read, of
/// graphs and weights twice: they are read once more to be used.
///
/// # Errors
/// [`Error::Digest`] names the file that isn't what the manifest says.
pub(crate) fn contents(
    folder: &Folder,
    used: &BTreeSet<PathBuf>,
    digested: &DigestCache,
    progress: &Progress,
) -> Result<Contents, Error> {
    let root = folder.root();
    for file in used {
        let bytes = std::fs::metadata(root.join(file)).map_or(0, |file| file.len());
        let text = file.extension().is_some_and(|kind| kind == "json" || kind == "txt");
        progress.expect(if text { bytes } else { 2 * bytes });
    }
    let verified = match Manifest::read(root)? {
        Some(manifest) => Some(manifest.verify(root, folder.enclosure(), digested, progress)?),
        None => None,
    };
    whole(root, used, verified, |path| digested.sha256(path, progress))
}

/// The same for those who want to know everything that differs; digests the files only if `digest`
/// says so and nothing does.
pub(crate) fn examine(
    folder: &Folder,
    used: &BTreeSet<PathBuf>,
    digest: bool,
    progress: &Progress,
) -> Result<(Contents, Vec<Difference>), Error> {
    let root = folder.root();
    let Some(manifest) = Manifest::read(root)? else {
        if !digest {
            return Ok((Contents::default(), Vec::new()));
        }
        for file in used {
            progress.expect(std::fs::metadata(root.join(file)).map_or(0, |file| file.len()));
        }
        return Ok((whole(root, used, None, |path| sha256(path, progress))?, Vec::new()));
    };
    let differences = manifest.differences_in(root, folder.enclosure(), progress)?;
    let extra = |difference: &Difference| difference.state == Differs::Extra;
    let is_used = |difference: &Difference| used.contains(Path::new(&difference.file));
    if !digest || differences.iter().any(|differs| !extra(differs) || is_used(differs)) {
        return Ok((Contents::default(), differences));
    }
    let digests = manifest.files.iter();
    let digests = digests.map(|(name, entry)| (name.into(), entry.sha256.to_ascii_lowercase()));
    let contents = whole(root, used, Some(digests.collect()), |path| sha256(path, progress))?;
    Ok((contents, differences))
}

/// The digest of the `used` files, of which a manifest that vouches for all has `verified`.
fn whole(
    root: &Path,
    used: &BTreeSet<PathBuf>,
    verified: Option<Digests>,
    read: impl Fn(&Path) -> Result<String, Error>,
) -> Result<Contents, Error> {
    let vouched = verified.is_some();
    let verified = verified.unwrap_or_default();
    if vouched && let Some(stranger) = used.iter().find(|file| !verified.contains_key(*file)) {
        let reason = format!("not listed in {MANIFEST}");
        return Err(Error::Digest { path: root.join(stranger), reason });
    }
    let mut whole = Sha256::new();
    for file in used {
        let digest = match verified.get(file) {
            Some(digest) => digest.clone(),
            None => read(&root.join(file))?,
        };
        whole.update(file.as_os_str().as_encoded_bytes());
        whole.update([0]);
        whole.update(digest);
        whole.update(b"\n");
    }
    let digest = format!("sha256:{}", hex::encode(whole.finalize()));
    Ok(Contents { digest, verified: vouched })
}

/// The length of a file that lies in `enclosure`, whatever links lead to it.
fn length(root: &Path, name: &str, enclosure: &Enclosure) -> Result<u64, Error> {
    let path = root.join(name);
    let io = |source| Error::Io { path: path.clone(), source };
    let metadata = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if path.is_symlink() {
                let reason = "it is a link to nothing; remove it, or copy what it leads to";
                return Err(Error::Unusable { path, reason: reason.to_owned() });
            }
            let reason = format!("it is missing, but {MANIFEST} lists it");
            return Err(Error::Digest { path, reason });
        }
        other => other.map_err(io)?,
    };
    let real = path.canonicalize().map_err(io)?;
    if !enclosure.holds(&real) {
        let reason =
            format!("it leads out of the folder to {} (cp -rL resolves links)", real.display());
        return Err(Error::Digest { path, reason });
    }
    if !metadata.is_file() {
        return Err(Error::Digest { path, reason: "it is not a file".to_owned() });
    }
    Ok(metadata.len())
}

fn sha256(path: &Path, progress: &Progress) -> Result<String, Error> {
    DigestCache::default().sha256(path, progress)
}
