//! Whole folders spoiled in one place each: the fault is named, with part and remedy, by a look at
//! the folder and in the same words by a load, before anything is computed.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use hearth_inference::pipelines::{self, Report};
use hearth_inference::progress::Progress;

use super::support::{copy_into, copy_of, refusal, repository};

/// What is done to the folder.
type Spoil = fn(&Path);

/// A model, what is done to it, the part at fault, and what is said of it.
type Case = (&'static str, Spoil, &'static str, &'static str);

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";

const CASES: &[Case] = &[
    // parts
    (
        "tiny-flux-dev",
        |at| remove(&at.join("transformer/model.onnx")),
        "transformer",
        "lacks transformer/model.onnx; copy or export the folder again",
    ),
    (
        "tiny-sd",
        |at| rename_file(&at.join("unet"), "model.onnx", "model.fp16.onnx"),
        "unet",
        "lacks unet/model.onnx and has unet/model.fp16.onnx; rename that one if it is to be used",
    ),
    (
        "tiny-flux-dev",
        |at| remove(&at.join("tokenizer_2")),
        "tokenizer_2",
        "lacks tokenizer_2; copy or export the folder again",
    ),
    ("tiny-sd", |at| remove(&at.join("unet/config.json")), "unet", "lacks unet/config.json"),
    (
        "tiny-ddpm",
        |at| write(at, "unet/config.json", ""),
        "unet",
        "unet/config.json can't be parsed",
    ),
    // graphs
    (
        "tiny-sd",
        |at| write(at, "unet/model.onnx", ""),
        "unet",
        "it is empty; copy or export it again",
    ),
    (
        "tiny-sd",
        |at| write(at, "unet/model.onnx", &"garbage ".repeat(999)),
        "unet",
        "truncated or not an ONNX model",
    ),
    ("tiny-sd", |at| write(at, "unet/model.onnx", POINTER), "unet", "run: git lfs pull"),
    ("tiny-sd", |at| folder_instead(&at.join("unet/model.onnx")), "unet", "lacks unet/model.onnx"),
    (
        "tiny-sd",
        |at| swap(at, "vae_decoder", "unet"),
        "unet",
        "asks for input latent_sample, which is not supported; known: sample, timestep",
    ),
    (
        "tiny-sd",
        |at| retype(&at.join("unet/model.onnx"), "sample", FLOAT, INT64),
        "unet",
        "sample is int64; export the graph with float32 or float16 there",
    ),
    (
        "tiny-sd",
        |at| retype(&at.join("unet/model.onnx"), "sample", FLOAT, BFLOAT16),
        "unet",
        "sample has elements of type bfloat16; export it in float32 or float16",
    ),
    (
        "tiny-sd",
        |at| retype(&at.join("text_encoder/model.onnx"), "input_ids", INT64, FLOAT),
        "text_encoder",
        "input_ids is float32; export the graph with int64 or int32 there",
    ),
    // weights in other files
    (
        "tiny-sd-f16",
        |at| remove(&at.join("vae_decoder/model.onnx_data")),
        "vae_decoder",
        "model.onnx_data can't be read",
    ),
    (
        "tiny-sd-f16",
        |at| write(at, "vae_decoder/model.onnx_data", POINTER),
        "vae_decoder",
        "run: git lfs pull",
    ),
    (
        "tiny-sd-f16",
        |at| link_out(&at.join("vae_decoder/model.onnx_data")),
        "vae_decoder",
        "leads out of the model's folder",
    ),
    (
        "tiny-sd-f16",
        |at| rename(at, "vae_decoder/model.onnx", b"model.onnx_data", b"../../etc/hosts"),
        "vae_decoder",
        "which is not a path beneath the model's folder",
    ),
    // configs
    (
        "tiny-flux-dev",
        |at| replace(at, "transformer/config.json", "\"in_channels\": 16", "\"in_channels\": 9"),
        "transformer",
        "transformer/config.json: in_channels 9 is not 4 times the decoder's",
    ),
    (
        "tiny-sd3",
        |at| swap_config(at, "tiny-flux-dev", "transformer/config.json"),
        "transformer",
        "missing field `sample_size`",
    ),
    ("tiny-sd", |at| write(at, "unet/config.json", POINTER), "unet", "run: git lfs pull"),
    (
        "tiny-sd",
        |at| write(at, "unet/config.json", &format!("{{\"x\": {}", "[".repeat(100_000))),
        "unet",
        "unet/config.json can't be parsed; mend or restore it",
    ),
    (
        "tiny-sd",
        |at| huge(&at.join("vae_decoder/config.json")),
        "vae_decoder",
        "a text has at most",
    ),
    ("tiny-sd", |at| pipe(&at.join("unet/config.json")), "unet", "it is not a file"),
    ("tiny-sd", |at| folder_instead(&at.join("unet/config.json")), "unet", "it is not a file"),
    ("tiny-sd", |at| write(at, "hearth.json", "{\"steps\": 7}"), ".", "unknown field `steps`"),
    (
        "tiny-sd",
        |at| write(at, "model_index.json", "{\"_class_name\": \"WanPipeline\"}"),
        ".",
        "pipeline class WanPipeline is not supported yet; known: StableDiffusionPipeline",
    ),
    // schedulers
    (
        "tiny-sd",
        |at| replace(at, "scheduler/scheduler_config.json", "beta_start", "beta_strat"),
        "scheduler",
        "`beta_strat` (value 0.00085) is not known (nearest: `beta_start`); remove",
    ),
    (
        "tiny-sd",
        |at| write(at, "scheduler/scheduler_config.json", "{}"),
        "scheduler",
        "`_class_name` is missing; restore the file",
    ),
    // tokenizers
    ("tiny-sd", |at| write(at, "tokenizer/vocab.json", POINTER), "tokenizer", "run: git lfs pull"),
    (
        "tiny-sd",
        |at| write(at, "tokenizer/merges.txt", "#version: 0.2\none two three\n"),
        "tokenizer",
        "two parts are expected; restore it",
    ),
    (
        "tiny-flux-dev",
        spiece_alone,
        "tokenizer_2",
        "holds spiece.model but no tokenizer.json; make it",
    ),
    // the manifest
    (
        "tiny-sd",
        |at| write(at, "manifest.json", "{\"algorithm\": \"md5\", \"files\": {}}"),
        ".",
        "algorithm \"md5\" is not sha256",
    ),
];

#[test]
fn a_spoiled_folder_is_refused_in_the_same_words_by_a_look_and_by_a_load() {
    let mut wrong = Vec::new();
    for (model, spoil, part, message) in CASES {
        let folder = copy_of(&repository().join("tests/models").join(model));
        assert!(look(folder.path()).usable, "{model}");
        spoil(folder.path());
        let report = look(folder.path());
        let said: Vec<_> = report.problems.iter().map(|p| (&*p.part, &*p.message)).collect();
        let named = said.iter().any(|(at, text)| at == part && text.contains(message));
        let loaded = super::support::load(folder.path());
        let refusal = loaded.err().map(|error| super::support::chain(&error)).unwrap_or_default();
        if !named || report.usable || !refusal.contains(message) {
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
        let mut loaded = super::support::load(&folder).unwrap();
        let known = report.description.unwrap();
        assert_eq!(&known, loaded.description().as_ref(), "{}", folder.display());
        for graph in loaded.graphs() {
            let shown = |ports: &[hearth_inference::session::Port]| -> Vec<String> {
                ports.iter().map(ToString::to_string).collect()
            };
            let part = report.parts.iter().find(|part| part.part == graph.part());
            let part = part.unwrap_or_else(|| panic!("{}: {}", folder.display(), graph.part()));
            // Half precision with weights in other files runs in single on a CPU.
            let widened = folder.join(graph.part()).join("model.onnx_data").exists();
            let read = |ports: &[String]| -> Vec<String> {
                let single = |port: &String| port.replace("float16", "float32");
                if widened { ports.iter().map(single).collect() } else { ports.to_vec() }
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

fn look(folder: &Path) -> Report {
    pipelines::inspect(folder, &Progress::default())
}

// `TensorProto.DataType`
const FLOAT: u8 = 1;
const INT64: u8 = 7;
const BFLOAT16: u8 = 16;

/// Gives the graph's input `name` another element type.
fn retype(graph: &Path, name: &str, from: u8, to: u8) {
    let mut bytes = fs::read(graph).unwrap();
    let length = u8::try_from(name.len()).unwrap();
    // ValueInfoProto { name = 1, type = 2 { tensor_type = 1 { elem_type = 1 } } }
    let head = [&[0x0a, length], name.as_bytes(), &[0x12]].concat();
    let fits = |at: &usize| {
        bytes[*at..].starts_with(&head) && bytes[at + head.len() + 3..].starts_with(&[0x08, from])
    };
    let at = (0..bytes.len()).find(fits).expect("the graph has such an input");
    bytes[at + head.len() + 4] = to;
    fs::write(graph, bytes).unwrap();
}

/// Replaces a text of the graph by one of the same length.
fn rename(at: &Path, file: &str, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(at.join(file)).unwrap();
    for place in 0..bytes.len() - from.len() {
        if bytes[place..].starts_with(from) {
            bytes[place..place + to.len()].copy_from_slice(to);
        }
    }
    fs::write(at.join(file), bytes).unwrap();
}

fn remove(path: &Path) {
    if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
}

fn write(at: &Path, file: &str, text: &str) {
    fs::write(at.join(file), text).unwrap();
}

fn replace(at: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(at.join(file)).unwrap();
    write(at, file, &text.replace(from, to));
}

/// Puts the graph of one part into another.
fn swap(at: &Path, from: &str, to: &str) {
    fs::copy(at.join(from).join("model.onnx"), at.join(to).join("model.onnx")).unwrap();
}

/// Puts another model's file in its place.
fn swap_config(at: &Path, other: &str, file: &str) {
    fs::copy(repository().join("tests/models").join(other).join(file), at.join(file)).unwrap();
}

fn rename_file(part: &Path, from: &str, to: &str) {
    fs::rename(part.join(from), part.join(to)).unwrap();
}

fn folder_instead(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

/// A file of more bytes than any config has, none of which take room.
fn huge(path: &Path) {
    fs::File::create(path).unwrap().set_len(1 << 30).unwrap();
}

/// A named pipe, which a reader would wait for.
fn pipe(path: &Path) {
    fs::remove_file(path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Puts a link to the same file of another folder in its place.
fn link_out(path: &Path) {
    let outside = repository().join("tests/models/tiny-sd-f16/vae_decoder/model.onnx_data");
    fs::remove_file(path).unwrap();
    symlink(outside, path).unwrap();
}

fn spiece_alone(at: &Path) {
    remove(&at.join("tokenizer_2/tokenizer.json"));
    write(at, "tokenizer_2/spiece.model", "x");
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
    assert!(super::support::load(&at).is_ok());
}
