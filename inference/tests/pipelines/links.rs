//! Links that lead out of a folder, and graphs that the library can't run: said by a look as by a load.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use hearth_inference::LoadOptions;
use hearth_inference::progress::Progress;

use super::support::{copy_of, generate, load, look, red_heart, refusal, repository, runtime};
use super::surgery::{self, bytes_field};

/// The model as a hub's cache has it, every file a link to one beside the folder: the folder, and the
/// one that the links lead to.
fn hub_cache(model: &str, at: &Path) -> (PathBuf, PathBuf) {
    let plain = copy_of(&repository().join("tests/models").join(model));
    let (blobs, snapshot) = (at.join("blobs"), at.join("snapshots/abc"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    let mut count = 0;
    let mut link = |file: &Path, to: PathBuf, up: &str| {
        count += 1;
        fs::copy(file, blobs.join(count.to_string())).unwrap();
        symlink(format!("{up}/blobs/{count}"), to).unwrap();
    };
    for entry in fs::read_dir(plain.path()).unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_file() {
            link(&path, snapshot.join(name), "../..");
            continue;
        }
        fs::create_dir(snapshot.join(&name)).unwrap();
        for file in fs::read_dir(&path).unwrap() {
            let file = file.unwrap();
            link(&file.path(), snapshot.join(&name).join(file.file_name()), "../../..");
        }
    }
    (snapshot, blobs)
}

#[test]
fn a_hubs_cache_is_taken_where_links_may_lead_there() {
    for model in ["tiny-sd", "tiny-sd-f16"] {
        let folder = tempfile::tempdir().unwrap();
        let (snapshot, blobs) = hub_cache(model, folder.path());
        let problems = look(&snapshot).problems;
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        let remedy = "copy the folder with its links resolved (cp -rL), or name the folder that they may \
                      lead to in worker.allow_links_to";
        assert!(problem.message.contains(remedy), "{problem:?}");
        assert_eq!(refusal(&snapshot), problem.message);

        let options = LoadOptions { allow_links_to: vec![blobs.clone()], ..LoadOptions::default() };
        let report = hearth_inference::inspect(&snapshot, &options, &Progress::default());
        assert!(report.usable, "{:?}", report.problems);
        let mut linked = hearth_inference::load(&runtime(), &snapshot, &options).unwrap();
        let mut plain = load(&repository().join("tests/models").join(model)).unwrap();
        let [a, b] = [&mut linked, &mut plain]
            .map(|model| generate(model.as_mut(), &red_heart(2), 1).unwrap().media);
        // Half precision with weights that lie elsewhere isn't rewritten.
        assert!(a == b || model == "tiny-sd-f16", "{model}");
    }
}

#[test]
fn one_link_out_of_a_folder_is_refused_whatever_it_is_of() {
    for file in
        ["hearth.json", "unet/config.json", "tokenizer/vocab.json", "vae_encoder/model.onnx"]
    {
        let copy = copy_of(&repository().join("tests/models/tiny-sd"));
        let (path, elsewhere) = (copy.path().join(file), tempfile::tempdir().unwrap());
        if !path.exists() {
            fs::write(&path, "{}").unwrap();
        }
        let target = elsewhere.path().join("file");
        fs::rename(&path, &target).unwrap();
        symlink(&target, &path).unwrap();
        let said = refusal(copy.path());
        let wanted = format!("{}: it leads out of the model's folder to", path.display());
        assert!(said.starts_with(&wanted), "{said}");
        assert_eq!(look(copy.path()).problems[0].message, said);
    }
}

#[test]
fn an_operator_that_only_gpus_have_is_refused_by_a_look_too() {
    let copy = copy_of(&repository().join("tests/models/tiny-sd"));
    let convolution = |domain: &str, operator: &str| {
        let unet = copy.path().join("unet/model.onnx");
        fs::copy(repository().join("tests/models/tiny-sd/unet/model.onnx"), &unet).unwrap();
        let inputs = ["out_sample::own", "weight"];
        let node = surgery::node(operator, &inputs, "out_sample", &[]);
        let node = [node, bytes_field(7, domain.as_bytes())].concat();
        surgery::after(&unet, "out_sample", &[node], &[]);
    };
    for (domain, operator, message) in [
        (
            "com.microsoft",
            "NhwcConv",
            "the operator NhwcConv of com.microsoft, for which ONNX Runtime",
        ),
        (
            "of.somebody",
            "Swirl",
            "the operator Swirl of of.somebody, of a domain that ONNX Runtime",
        ),
    ] {
        convolution(domain, operator);
        let problems = look(copy.path()).problems;
        let said = problems.iter().find(|problem| problem.component == "unet").unwrap();
        assert!(said.message.contains(message) && said.message.contains("; "), "{said:?}");
        assert!(refusal(copy.path()).contains(message));
    }
    convolution("", "Swirl");
    let report = look(copy.path());
    assert!(report.warnings.iter().any(|it| it.starts_with("unet: the operator Swirl is unknown")));
    // ONNX Runtime's own words then.
    assert!(refusal(copy.path()).contains("can't be loaded by ONNX Runtime"));
}
