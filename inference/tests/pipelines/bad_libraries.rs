//! The ONNX Runtime library: broken ones are errors, and a process has one.

use std::fs;
use std::path::Path;

use hearth_inference::LoadOptions;
use hearth_inference::session::{self, Device, Runtime, Search};

use super::support;

#[test]
fn a_truncated_library_is_an_error_and_not_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libonnxruntime.so.1.28.0");
    fs::copy(support::library(), &copy).unwrap();
    let whole = fs::metadata(&copy).unwrap().len();
    for length in [whole - 1, whole / 2, 4096, 40, 0] {
        fs::OpenOptions::new().write(true).open(&copy).unwrap().set_len(length).unwrap();
        let message = Runtime::load(&copy, 1).unwrap_err().to_string();
        assert!(message.contains("is not a whole shared library"), "{message}");
        assert!(message.contains("fetch ONNX Runtime again"), "{message}");
    }
    // Nothing was loaded on the way.
    support::runtime();
}

#[test]
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

#[test]
fn a_process_has_one_library() {
    let runtime = support::runtime();
    assert_eq!(support::runtime().library(), runtime.library());
    assert!(runtime.build().contains("Build Info"), "{}", runtime.build());
    let folder = tempfile::tempdir().unwrap();
    let other = folder.path().join("libonnxruntime.so");
    fs::copy(runtime.library(), &other).unwrap();
    let message = Runtime::load(&other, 1).unwrap_err().to_string();
    assert!(message.contains("already loaded from"), "{message}");
}

#[test]
fn the_search_takes_the_newest_and_names_where_it_looked() {
    let folder = tempfile::tempdir().unwrap();
    let beside = folder.path().join("bin");
    let deps = folder.path().join(".deps/onnxruntime");
    fs::create_dir(&beside).unwrap();
    fs::create_dir_all(&deps).unwrap();
    let executable = beside.join("hearth-worker");
    let search = Search { configured: "auto", executable: Some(&executable), directory: None };
    fs::write(deps.join("libonnxruntime.so.1.9.0"), "").unwrap();
    fs::write(deps.join("libonnxruntime.so.1.28.0"), "").unwrap();
    fs::write(deps.join("libonnxruntime.so.old"), "").unwrap();
    assert_eq!(session::find(&search).unwrap(), deps.join("libonnxruntime.so.1.28.0"));
    fs::write(beside.join("libonnxruntime.so"), "").unwrap();
    assert_eq!(session::find(&search).unwrap(), beside.join("libonnxruntime.so"));

    let gone = Search { configured: "/nonexistent/libonnxruntime.so", ..search };
    let message = support::chain(&session::find(&gone).unwrap_err());
    assert!(message.contains("/nonexistent/libonnxruntime.so can't be read"), "{message}");
}

#[test]
fn a_device_that_is_not_there_is_an_error_and_not_the_cpu() {
    let options = LoadOptions { device: Device::Cuda(0), ..LoadOptions::default() };
    match hearth_inference::load(&support::runtime(), &support::emoji(), &options) {
        Ok(pipeline) => assert_eq!(pipeline.description().device, "cuda:0"),
        Err(error) => {
            let message = support::chain(&error);
            assert!(message.contains("device cuda:0 can't be used"), "{message}");
        }
    }
}
