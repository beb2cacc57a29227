//! Whole folders spoiled in one place each: the fault is named, with part and remedy, by a look at
//! the folder and in the same words by a load, before anything is computed.

mod cases;
mod spoil;

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;

use self::cases::CASES;
use self::spoil::{BFLOAT16, FLOAT, retype, swap, write};
use super::support::{copy_into, copy_of, look, refusal, repository};

#[test]
fn a_spoiled_folder_is_refused_in_the_same_words_by_a_look_and_by_a_load() {
    let (mut wrong, mut whole) = (Vec::new(), HashSet::new());
    for (model, spoil, part, message) in CASES {
        let folder = copy_of(&repository().join("tests/models").join(model));
        assert!(!whole.insert(model) || look(folder.path()).usable, "{model}");
        spoil(folder.path());
        let report = look(folder.path());
        let said: Vec<_> = report.problems.iter().map(|p| (&*p.component, &*p.message)).collect();
        let named = said.iter().any(|(at, text)| at == part && text.contains(message));
        let short = said.iter().all(|(_, text)| text.len() <= 2000);
        let loaded = crate::support::load(folder.path());
        let refusal = loaded.err().map(|error| crate::support::chain(&error)).unwrap_or_default();
        if !named || !short || report.usable || !refusal.contains(message) {
            wrong.push(format!("{model}, {part}: {message}\n{said:#?}\n{refusal}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn faults_in_several_parts_are_said_at_once_by_a_load_too() {
    let folder = copy_of(&repository().join("tests/models/tiny-sd3"));
    let at = folder.path();
    swap(at, "vae_decoder", "text_encoder_2");
    retype(&at.join("transformer/model.onnx"), "timestep", FLOAT, BFLOAT16);
    write(at, "vae_encoder/model.onnx", "x");
    let message = refusal(at);
    for part in
        ["text_encoder_2: the graph asks", "transformer: timestep has", "vae_encoder/model.onnx:"]
    {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(message.contains(" problems in "), "{message}");
}

#[test]
fn the_original_of_an_export_gets_the_export_command() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let index = repository().join("tests/models/tiny-sd/model_index.json");
    fs::copy(index, at.join("model_index.json")).unwrap();
    for part in ["unet", "vae", "text_encoder"] {
        fs::create_dir(at.join(part)).unwrap();
        fs::write(at.join(part).join("config.json"), "{}").unwrap();
        fs::write(at.join(part).join("model.safetensors"), "").unwrap();
    }
    let path = at.display();
    let wanted = format!(
        "{path} holds PyTorch weights, not ONNX. \
         Export: optimum-cli export onnx --model {path} {path}-onnx"
    );
    assert_eq!(refusal(at), wanted);
    let problems: Vec<_> = look(at).problems.into_iter().map(|problem| problem.message).collect();
    assert_eq!(problems, [wanted]);
}

#[test]
fn a_survey_says_of_each_graph_what_a_session_does() {
    let models = repository().join("tests/models");
    for entry in fs::read_dir(models).unwrap() {
        let folder = entry.unwrap().path();
        // Some hold parts that go over another folder's.
        if !["scheduler/scheduler_config.json", "model.onnx"]
            .iter()
            .any(|file| folder.join(file).exists())
        {
            continue;
        }
        let report = look(&folder);
        assert!(report.usable, "{}: {:?}", folder.display(), report.problems);
        let mut loaded = crate::support::load(&folder).unwrap();
        let known = report.description.unwrap();
        assert_eq!(&known, loaded.description().as_ref(), "{}", folder.display());
        for graph in loaded.graphs() {
            let shown = |ports: &[hearth_inference::session::Port]| -> Vec<String> {
                ports.iter().map(ToString::to_string).collect()
            };
            let part = report.components.iter().find(|part| part.name == graph.name());
            let part = part.unwrap_or_else(|| panic!("{}: {}", folder.display(), graph.name()));
            // Half precision with weights in other files runs in single on a CPU.
            let widened = folder.join(graph.name()).join("model.onnx_data").exists();
            // A timestep that the graph spreads over the copies itself is taken copy by copy.
            let listed = |port: &String| match port.strip_prefix("timestep ") {
                Some(_) => port.replace("[]", "[?]"),
                None => port.clone(),
            };
            let read = |ports: &[String]| -> Vec<String> {
                let single = |port: String| port.replace("float16", "float32");
                let ports = ports.iter().map(listed);
                if widened { ports.map(single).collect() } else { ports.collect() }
            };
            assert_eq!(read(&part.inputs), shown(graph.inputs()), "{}", folder.display());
            // ONNX Runtime infers lengths of outputs that the file leaves open.
            let open = |ports: Vec<String>| -> Vec<String> {
                let kind = |port: &String| port.split(" [").next().unwrap().to_owned();
                ports.iter().map(kind).collect()
            };
            let outputs = open(shown(graph.outputs()));
            assert_eq!(open(read(&part.outputs)), outputs, "{}", folder.display());
            assert_eq!(part.bytes, graph.weight_bytes());
        }
    }
}

#[test]
fn links_within_the_folder_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("model");
    fs::create_dir(&at).unwrap();
    copy_into(&repository().join("tests/models/tiny-lcm"), &at);
    fs::remove_file(at.join("manifest.json")).unwrap();
    fs::rename(at.join("unet"), at.join("shared")).unwrap();
    symlink("shared", at.join("unet")).unwrap();
    let report = look(&at);
    assert!(report.usable, "{:?}", report.problems);
    assert!(crate::support::load(&at).is_ok());
}
