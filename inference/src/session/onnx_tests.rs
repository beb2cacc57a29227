//! Model files made by hand, whole and broken.

use std::fs;

use super::*;

fn field(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = varint(number << 3 | 2);
    out.extend(varint(payload.len() as u64));
    out.extend_from_slice(payload);
    out
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn entry(key: &str, value: &str) -> Vec<u8> {
    field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
}

/// A model with one tensor whose weights lie in `location`.
fn model(location: &str, offset: &str, length: &str) -> Vec<u8> {
    let mut tensor = field(8, b"weight");
    tensor.extend(entry("location", location));
    tensor.extend(entry("offset", offset));
    tensor.extend(entry("length", length));
    tensor.extend([14 << 3, 1]);
    [vec![1 << 3, 8], field(7, &field(5, &tensor))].concat()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn with(model: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("unet")).unwrap();
        fs::write(folder.path().join("unet/model.onnx"), model).unwrap();
        fs::write(folder.path().join("unet/weights.bin"), [0; 100]).unwrap();
        Self(folder)
    }

    fn check(&self) -> Result<Files, String> {
        check(self.0.path(), &self.0.path().join("unet/model.onnx"))
            .map_err(|error| error.to_string())
    }
}

#[test]
fn weights_within_the_file_pass() {
    let bytes = model("weights.bin", "36", "64");
    let files = Folder::with(&bytes).check().unwrap();
    assert_eq!(files.external.len(), 1);
    assert_eq!(files.bytes, bytes.len() as u64 + 100);
}

#[test]
fn weights_in_a_node_of_a_subgraph_are_found() {
    let tensor = [entry("location", "../../etc/passwd"), vec![14 << 3, 1]].concat();
    let branch = field(1, &field(5, &field(5, &tensor)));
    let attribute = field(6, &branch);
    let bytes = field(7, &field(1, &field(5, &attribute)));
    assert!(Folder::with(&bytes).check().unwrap_err().contains("not a path beneath"));
}

#[test]
fn weights_elsewhere_are_refused() {
    for location in ["../weights.bin", "/etc/passwd", "", "a/../../b", "weights\0.bin"] {
        let error = Folder::with(&model(location, "0", "4")).check().unwrap_err();
        assert!(error.contains("not a path beneath the model's folder"), "{location}: {error}");
    }
    // What ONNX Runtime takes for an address in memory is to us a file that doesn't exist.
    let error = Folder::with(&model("*/_ORT_MEM_ADDR_/*", "0", "4")).check().unwrap_err();
    assert!(error.contains("not a path beneath") || error.contains("can't be read"), "{error}");
}

#[test]
fn a_link_out_of_the_folder_is_refused() {
    let folder = Folder::with(&model("link.bin", "0", "4"));
    let link = folder.0.path().join("unet/link.bin");
    std::os::unix::fs::symlink("/etc/hostname", &link).unwrap();
    assert!(folder.check().unwrap_err().contains("leads out of the model's folder"));
    fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("weights.bin", &link).unwrap();
    assert!(folder.check().is_ok());
}

#[test]
fn short_and_missing_weights_name_their_file() {
    let error = Folder::with(&model("weights.bin", "40", "64")).check().unwrap_err();
    assert!(error.contains("weights.bin: truncated: the model needs bytes 40 to 104"), "{error}");
    let error =
        Folder::with(&model("weights.bin", "18446744073709551615", "2")).check().unwrap_err();
    assert!(error.contains("truncated"), "{error}");
    let error = Folder::with(&model("gone.bin", "0", "4")).check().unwrap_err();
    assert!(error.contains("gone.bin can't be read"), "{error}");
}

#[test]
fn every_cut_is_noticed_or_leaves_no_graph() {
    let bytes = model("weights.bin", "0", "100");
    for length in 0..bytes.len() {
        assert!(Folder::with(&bytes[..length]).check().is_err(), "cut at {length}");
    }
}

#[test]
fn other_files_are_told_apart() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    assert!(Folder::with(pointer).check().unwrap_err().contains("git lfs pull"));
    assert!(Folder::with(b"PK\x03\x04 a zip archive").check().is_err());
    let deep = (0..80).fold(Vec::new(), |inner, _| field(1, &field(5, &field(6, &inner))));
    assert!(Folder::with(&field(7, &deep)).check().unwrap_err().contains("deeper"));
}

#[test]
fn no_changed_byte_makes_it_panic() {
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/models/tiny-sd-f16/text_encoder/model.onnx");
    let whole = fs::read(model).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    for at in (0..whole.len()).step_by(499) {
        for value in [0, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            fs::write(&path, &bytes).unwrap();
            let _ = check(folder.path(), &path);
            let _ = crate::session::widen::widen(&bytes);
        }
    }
}
