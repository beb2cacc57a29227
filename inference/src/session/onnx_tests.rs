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
        check(&Enclosure::new(self.0.path(), &[]), &self.0.path().join("unet/model.onnx"))
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

/// As ONNX Runtime 1.28 was seen to do it.
#[test]
fn weights_are_looked_for_where_onnx_runtime_does() {
    let link = |folder: &Folder, to: &str, at: &str| {
        let at = folder.0.path().join(at);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(to, at).unwrap();
    };
    let check_at = |folder: &Folder, model: &str| {
        let enclosure = Enclosure::new(folder.0.path(), &[]);
        check(&enclosure, &folder.0.path().join(model)).map_err(|error| error.to_string())
    };
    let folder = Folder::with(&model("weights.bin", "0", "4"));
    link(&folder, "../unet/model.onnx", "linked/model.onnx");
    let alone = check_at(&folder, "linked/model.onnx").unwrap_err();
    assert!(alone.contains("linked/weights.bin can't be read"), "{alone}");
    link(&folder, "../unet/weights.bin", "linked/weights.bin");
    let files = check_at(&folder, "linked/model.onnx").unwrap();
    assert_eq!(files.external, [folder.0.path().join("linked/weights.bin")]);
    link(&folder, "unet", "whole");
    assert!(check_at(&folder, "whole/model.onnx").is_ok());

    let folder = Folder::with(&model("./link.bin", "0", "4"));
    fs::create_dir(folder.0.path().join("shared")).unwrap();
    fs::write(folder.0.path().join("shared/weights.bin"), [0; 9]).unwrap();
    link(&folder, "../shared/weights.bin", "unet/link.bin");
    let elsewhere = folder.check().unwrap_err();
    assert!(elsewhere.contains("ONNX Runtime takes none from there; copy"), "{elsewhere}");
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
            let _ = check(&Enclosure::new(folder.path(), &[]), &path);
            let _ = crate::session::widen::widen(&bytes);
        }
    }
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

/// A `ValueInfoProto` of floats.
fn port(name: &[u8], rank: usize) -> Vec<u8> {
    let shape = field(1, &number(1, 4)).repeat(rank);
    let tensor = [number(1, 1), field(2, &shape)].concat();
    [field(1, name), field(2, &field(1, &tensor))].concat()
}

/// A model with these inputs.
fn with_inputs(inputs: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let inputs: Vec<_> = inputs.flat_map(|input| field(11, &input)).collect();
    field(7, &inputs)
}

#[test]
fn what_is_taken_down_of_inputs_is_bounded() {
    let names = |count: u64| (0..count).map(|index| port(format!("{index}").as_bytes(), 4));
    let files = Folder::with(&with_inputs(names(8192))).check().unwrap();
    let last = files.header.inputs.last().unwrap().as_ref().unwrap();
    assert_eq!(last.to_string(), "8191 float32 [4, 4, 4, 4]");
    for (bytes, reason) in [
        (with_inputs(names(8193)), "more than 8192 inputs or outputs"),
        (with_inputs([port(b"deep", 65)].into_iter()), "deep has 65 dimensions, more than 64"),
        (with_inputs([port(b"deep", 9000)].into_iter()), "deep has 9000 dimensions, more than 64"),
        (with_inputs([port(&[b'x'; 1025], 1)].into_iter()), "a name of 1025 bytes, more than 1024"),
        (with_inputs([port(&[b'x'; 70_000], 1)].into_iter()), "has 70016 bytes, more than 65536"),
    ] {
        let refusal = Folder::with(&bytes).check().unwrap_err();
        assert!(refusal.contains(reason) && refusal.contains("export it again"), "{refusal}");
    }
}

#[test]
fn files_of_weights_are_remembered_once_each() {
    let tensor = |location: &str, offset: &str| {
        let place = [entry("location", location), entry("offset", offset)].concat();
        field(5, &[place, vec![14 << 3, 1]].concat())
    };
    // In a node, where no initializer is counted.
    let model = |tensors: Vec<u8>| field(7, &field(1, &field(5, &tensors)));
    let many = model(tensor("weights.bin", "100").repeat(50_000));
    assert_eq!(Folder::with(&many).check().unwrap().external.len(), 1);
    let furthest = ["7", "101", "3"].map(|offset| tensor("weights.bin", offset)).concat();
    let refusal = Folder::with(&model(furthest)).check().unwrap_err();
    assert!(refusal.contains("needs bytes 101 to 101, it has 100"), "{refusal}");
    let files = (0..16_385).flat_map(|index| tensor(&format!("{index}"), "0")).collect();
    let refusal = Folder::with(&model(files)).check().unwrap_err();
    assert!(refusal.contains("weights in more than 16384 files"), "{refusal}");
}

#[test]
fn holes_and_files_beyond_protobuf_are_not_read_through() {
    let folder = Folder::with(&model("weights.bin", "0", "4"));
    let file = fs::File::options().write(true).open(folder.0.path().join("unet/model.onnx"));
    let file = file.unwrap();
    for (length, reason) in [(1 << 30, "field 0 before byte"), (1 << 40, "at most 2147483647")] {
        file.set_len(length).unwrap();
        let refusal = folder.check().unwrap_err();
        assert!(refusal.contains(reason), "{refusal}");
    }
}

#[test]
fn many_subgraphs_among_many_weights_are_widened_in_their_own_time() {
    let weight = |index: u32| {
        let name = field(8, format!("weight_{index}").as_bytes());
        field(5, &[name, number(2, 10), number(14, 1)].concat())
    };
    let branch = field(1, &field(5, &field(6, &field(2, b"branch"))));
    let weights: Vec<u8> = (0..20_000).flat_map(weight).collect();
    let model = field(7, &[weights, branch.repeat(20_000)].concat());
    let begun = std::time::Instant::now();
    assert!(crate::session::widen::widen(&model).is_some());
    // Had each of them a list of the weights of its own, it would be minutes and gigabytes.
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
