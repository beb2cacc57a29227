//! Files that are no ONNX Runtime library are errors, and a process has one library.
//!
//! A process that has loaded one refuses every other unread, so this is a test program of its own,
//! and one test: what must come before the first load comes first.

#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::fs;
use std::path::{Path, PathBuf};

use hearth_inference::session::{self, Runtime, Search};

#[test]
fn a_process_has_one_library_and_it_is_a_whole_one() {
    a_foreign_library_is_refused();
    a_truncated_library_is_an_error_and_not_a_crash();
    a_process_has_one_library();
}

fn a_truncated_library_is_an_error_and_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libonnxruntime.so.1.28.0");
    fs::copy(library(), &copy).unwrap();
    let whole = fs::metadata(&copy).unwrap().len();
    for length in [whole - 1, whole / 2, 4096, 40, 0] {
        fs::OpenOptions::new().write(true).open(&copy).unwrap().set_len(length).unwrap();
        let message = Runtime::load(&copy, 1).unwrap_err().to_string();
        assert!(message.contains("is not a whole shared library"), "{message}");
        assert!(message.contains("fetch ONNX Runtime again"), "{message}");
    }
    // Nothing was loaded on the way.
    load();
}

fn a_foreign_library_is_refused() {
    let text = tempfile::NamedTempFile::new().unwrap();
    fs::write(text.path(), "not a library, ".repeat(100)).unwrap();
    let message = Runtime::load(text.path(), 1).unwrap_err().to_string();
    assert!(message.contains("isn't a 64-bit little-endian ELF shared library"), "{message}");
    let libc = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6"];
    if let Some(libc) = libc.iter().find(|path| Path::new(path).exists()) {
        let message = Runtime::load(Path::new(libc), 1).unwrap_err().to_string();
        assert!(message.contains("can't be loaded from"), "{message}");
    }
}

fn a_process_has_one_library() {
    let runtime = load();
    assert_eq!(load().library(), runtime.library());
    assert!(runtime.build().contains("Build Info"), "{}", runtime.build());
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("libonnxruntime.so");
    fs::copy(runtime.library(), &other).unwrap();
    let message = Runtime::load(&other, 1).unwrap_err().to_string();
    assert!(message.contains("already loaded from"), "{message}");
}

/// The library under test: `HEARTH_TEST_ORT`, or that of the repository.
fn library() -> PathBuf {
    let configured = std::env::var("HEARTH_TEST_ORT").unwrap_or_else(|_| "auto".to_owned());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let search = Search { configured: &configured, executable: None, directory: Some(root) };
    session::find(&search).unwrap()
}

fn load() -> Runtime {
    Runtime::load(&library(), 1).unwrap()
}
