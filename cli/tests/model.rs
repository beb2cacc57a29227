//! `hearth model` on real folders, whole and spoiled. No worker and no ONNX Runtime is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn hearth(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin").output().unwrap()
}

#[track_caller]
fn exits(output: &Output, status: i32) -> String {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}\n{err}");
    out + &err
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models").join(name)
}

/// A copy to spoil, with its manifest.
fn copy(name: &str) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(&model(name), copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => {
                fs::create_dir(&target).unwrap();
                copy_into(&path, &target);
            }
            false => drop(fs::copy(&path, &target).unwrap()),
        }
    }
}

#[test]
fn a_folder_is_described_in_words_and_for_machines() {
    let sd3 = model("tiny-sd3");
    let out = exits(&hearth(&["model", "inspect", sd3.to_str().unwrap()]), 0);
    for part in
        ["stable-diffusion-3 (StableDiffusion3Pipeline)", "flow_euler", "manifest.json", "float32"]
    {
        assert!(out.contains(part), "{part}: {out}");
    }
    let out = exits(&hearth(&["model", "inspect", sd3.to_str().unwrap(), "--json"]), 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["usable"], true);
    assert_eq!(report["verified"], true);
    assert_eq!(report["default_steps"], 28);
    assert_eq!(report["sequence_length"]["max"], 512);
    assert_eq!(report["problems"].as_array().unwrap().len(), 0);
    let parts: Vec<_> = report["parts"].as_array().unwrap().iter().map(|p| &p["part"]).collect();
    assert!(parts.iter().any(|part| *part == "text_encoder_3"), "{parts:?}");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let folder = copy("tiny-sdxl");
    let path = folder.path();
    fs::remove_file(path.join("manifest.json")).unwrap();
    fs::remove_file(path.join("text_encoder/model.onnx")).unwrap();
    fs::write(path.join("unet/model.onnx"), "version https://git-lfs.github.com/spec/v1\n")
        .unwrap();
    fs::write(path.join("vae_decoder/model.onnx"), "").unwrap();
    fs::remove_dir_all(path.join("tokenizer_2")).unwrap();
    let report = hearth(&["model", "inspect", path.to_str().unwrap(), "--json"]);
    let report: Value = serde_json::from_str(&exits(&report, 1)).unwrap();
    assert_eq!(report["usable"], false);
    let problems = report["problems"].as_array().unwrap();
    for (part, message) in [
        ("text_encoder", "lacks text_encoder/model.onnx; copy or export"),
        ("unet", "git lfs pull"),
        ("vae_decoder", "it is empty; copy or export"),
        ("tokenizer_2", "lacks tokenizer_2; copy or export"),
    ] {
        let said: Vec<_> = problems.iter().filter(|problem| problem["part"] == part).collect();
        assert_eq!(said.len(), 1, "{part}: {problems:?}");
        assert!(said[0]["message"].as_str().unwrap().contains(message), "{said:?}");
    }
    assert_eq!(problems.len(), 4, "{problems:?}");
}

#[test]
fn a_manifest_is_made_kept_and_compared() {
    let folder = copy("tiny-lcm");
    let path = folder.path().to_str().unwrap();
    let manifest = folder.path().join("manifest.json");
    let ours = fs::read(&manifest).unwrap();
    let out = exits(&hearth(&["model", "manifest", path]), 1);
    assert!(out.contains("is there already") && out.contains("--force"), "{out}");
    fs::remove_file(&manifest).unwrap();
    let out = exits(&hearth(&["model", "verify", path]), 2);
    assert!(out.contains("has no manifest.json: hearth model manifest"), "{out}");
    exits(&hearth(&["model", "manifest", path]), 0);
    assert_eq!(fs::read(&manifest).unwrap(), ours, "the Python tool writes the same");
    exits(&hearth(&["model", "verify", path]), 0);

    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    fs::write(folder.path().join(".hidden"), "not a part of it").unwrap();
    fs::remove_file(folder.path().join("vae_encoder/config.json")).unwrap();
    let unet = folder.path().join("unet/model.onnx");
    let mut bytes = fs::read(&unet).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&unet, bytes).unwrap();
    let out = exits(&hearth(&["model", "verify", path, "--json"]), 1);
    let compared: Value = serde_json::from_str(&out).unwrap();
    let states = compared["differences"].as_array().unwrap();
    let states: Vec<_> = states
        .iter()
        .map(|entry| (entry["file"].as_str().unwrap(), entry["state"].as_str().unwrap()))
        .collect();
    let wanted = [
        ("notes.txt", "extra"),
        ("unet/model.onnx", "differs"),
        ("vae_encoder/config.json", "missing"),
    ];
    assert_eq!(states, wanted);
    let out = exits(&hearth(&["model", "inspect", path]), 1);
    assert!(out.contains("unet/model.onnx: SHA-256"), "{out}");
    exits(&hearth(&["model", "manifest", path, "--force"]), 0);
    exits(&hearth(&["model", "verify", path]), 0);
}

#[test]
fn what_is_no_folder_is_wrong_usage() {
    for command in ["inspect", "manifest", "verify"] {
        let out = exits(&hearth(&["model", command, "/nonexistent"]), 2);
        assert!(out.contains("/nonexistent doesn't exist"), "{out}");
        let out = exits(&hearth(&["model", command, file!()]), 2);
        assert!(out.contains("doesn't exist") || out.contains("is a file"), "{out}");
    }
    let folder = tempfile::tempdir().unwrap();
    let out = exits(&hearth(&["model", "inspect", folder.path().to_str().unwrap()]), 1);
    assert!(out.contains("is not a diffusers folder"), "{out}");
}

#[test]
fn a_link_out_of_the_folder_is_not_vouched_for() {
    let folder = copy("tiny-lcm");
    let path = folder.path().to_str().unwrap();
    let config = folder.path().join("unet/config.json");
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("config.json");
    fs::copy(&config, &moved).unwrap();
    fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink(&moved, &config).unwrap();
    for command in [&["manifest", path, "--force"][..], &["verify", path], &["inspect", path]] {
        let out = exits(&hearth(&[&["model"], command].concat()), 1);
        assert!(out.contains("leads out of the ") && out.contains("cp -rL"), "{out}");
    }
    fs::remove_file(&config).unwrap();
    std::os::unix::fs::symlink(".", folder.path().join("unet/loop")).unwrap();
    let out = exits(&hearth(&["model", "manifest", path, "--force"]), 1);
    assert!(out.contains("lead into themselves"), "{out}");
}

#[test]
fn schedulers_are_listed_with_class_and_config() {
    let out = exits(&hearth(&["models", "--schedulers", "--json"]), 0);
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(row("euler_a")["class"], "EulerAncestralDiscreteScheduler");
    assert_eq!(row("dpmpp_2m_karras")["config"]["use_karras_sigmas"], true);
    assert_eq!(row("dpmpp_2m_karras")["config"]["algorithm_type"], "dpmsolver++");
    assert_eq!(row("dpmpp_2m_karras")["config"]["solver_order"], 2);
    let out = exits(&hearth(&["models", "--schedulers"]), 0);
    assert!(out.contains("flow_heun") && out.contains("FlowMatchHeunDiscreteScheduler"), "{out}");
}
