//! Where the ONNX Runtime library is looked for, and devices that it does not have. Broken
//! libraries are in `../libraries.rs`: a process loads one.

use std::fs;

use hearth_inference::LoadOptions;
use hearth_inference::session::{self, Device, Search};

use super::support;

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
