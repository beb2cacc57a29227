//! `manifest.json`: the SHA-256 of every file of a folder, and the digest of the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Error, read_json};
use crate::progress::Progress;

const NAME: &str = "manifest.json";
const CHUNK: usize = 1 << 20;

/// What a folder's pipeline is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// `sha256:` and the digest over names and digests of the used files, in lowercase
    /// hexadecimal: the same for two folders that make the same pictures.
    pub digest: String,
    /// Whether a manifest vouches for the files.
    pub verified: bool,
}

#[derive(Deserialize)]
struct Manifest {
    algorithm: String,
    files: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    bytes: u64,
    sha256: String,
}

/// Digests the `used` files of `root`; verifies all that the manifest lists, if there is one.
pub(super) fn contents(
    root: &Path,
    used: &BTreeSet<PathBuf>,
    progress: &Progress,
) -> Result<Contents, Error> {
    for file in used {
        let bytes = std::fs::metadata(root.join(file)).map_or(0, |metadata| metadata.len());
        // Graphs and weights are read once more, to be used.
        let text = file.extension().is_some_and(|kind| kind == "json" || kind == "txt");
        progress.expect(if text { bytes } else { 2 * bytes });
    }
    let manifest = root.join(NAME);
    let mut verified = BTreeMap::new();
    if manifest.exists() {
        verified = verify(root, &manifest, progress)?;
        if let Some(stranger) = used.iter().find(|file| !verified.contains_key(*file)) {
            let reason = format!("not listed in {NAME}");
            return Err(Error::Digest { path: root.join(stranger), reason });
        }
    }
    let mut whole = Sha256::new();
    for file in used {
        let digest = match verified.get(file) {
            Some(digest) => digest.clone(),
            None => sha256(&root.join(file), progress)?,
        };
        whole.update(file.as_os_str().as_encoded_bytes());
        whole.update([0]);
        whole.update(digest);
        whole.update(b"\n");
    }
    let digest = format!("sha256:{}", hex::encode(whole.finalize()));
    Ok(Contents { digest, verified: !verified.is_empty() })
}

/// Checks every file that the manifest lists; gives back their digests.
fn verify(
    root: &Path,
    manifest: &Path,
    progress: &Progress,
) -> Result<BTreeMap<PathBuf, String>, Error> {
    let bad = |path: PathBuf, reason: String| Err(Error::Digest { path, reason });
    let Manifest { algorithm, files } = read_json(manifest)?;
    if algorithm != "sha256" {
        return bad(manifest.to_owned(), format!("algorithm {algorithm:?} is not sha256"));
    }
    let mut digests = BTreeMap::new();
    for (name, entry) in files {
        let relative = PathBuf::from(&name);
        if !relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return bad(manifest.to_owned(), format!("{name:?} is not a path in the folder"));
        }
        let path = root.join(&relative);
        let bytes = std::fs::metadata(&path)
            .map_err(|source| Error::Io { path: path.clone(), source })?
            .len();
        if bytes != entry.bytes {
            return bad(path, format!("{bytes} bytes, but {NAME} says {}", entry.bytes));
        }
        let digest = sha256(&path, progress)?;
        if !digest.eq_ignore_ascii_case(&entry.sha256) {
            return bad(path, format!("SHA-256 {digest}, but {NAME} says {}", entry.sha256));
        }
        digests.insert(relative, digest);
    }
    Ok(digests)
}

fn sha256(path: &Path, progress: &Progress) -> Result<String, Error> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(io)?;
    let mut chunk = vec![0; CHUNK];
    let mut hash = Sha256::new();
    loop {
        match file.read(&mut chunk).map_err(io)? {
            0 => return Ok(hex::encode(hash.finalize())),
            length => {
                hash.update(&chunk[..length]);
                progress.advance(length as u64);
            }
        }
    }
}
