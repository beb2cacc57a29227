//! What is done to which folder, and what is said of it.

use std::fs;
use std::path::Path;

use super::spoil::{
    BFLOAT16, FLOAT, INT64, folder_instead, graph, grow, huge, index, link_out, many_tokens, pipe,
    port, remove, rename, rename_file, replace, retype, set, spiece_alone, swap, swap_config,
    write,
};

/// What is done to the folder.
pub(super) type Spoil = fn(&Path);

/// A model, what is done to it, the part at fault, and what is said of it.
pub(super) type Case = (&'static str, Spoil, &'static str, &'static str);

const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";

pub(super) const CASES: &[Case] = &[
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
    (
        "tiny-sd",
        |at| graph(&at.join("unet/model.onnx"), (0..5000).map(|index| port(index, 4))),
        "unet",
        "not supported; known: sample, timestep, encoder_hidden_states, timestep_cond",
    ),
    (
        "tiny-sd",
        |at| graph(&at.join("text_encoder/model.onnx"), (0..5000).map(|index| port(index, 4))),
        "text_encoder",
        "the graph has no input input_ids; it has in.0, in.1, in.2, in.3, in.4,",
    ),
    (
        "tiny-sdxl",
        |at| {
            rename(at, "text_encoder/model.onnx", b"hidden_states.0", b"hidden_layers.0");
        },
        "text_encoder",
        "export it again with hidden_states.0 among its outputs, as optimum and tools/export do",
    ),
    (
        "tiny-sd",
        |at| graph(&at.join("unet/model.onnx"), (0..9000).map(|index| port(index, 4))),
        "unet",
        "it has more than 8192 inputs or outputs",
    ),
    (
        "tiny-sd",
        |at| graph(&at.join("unet/model.onnx"), [port(0, 9000)].into_iter()),
        "unet",
        "in.0 has 9000 dimensions, more than 64",
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
        "vae_decoder/model.onnx_data: it leads out of the model's folder",
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
        "`sample_size` is missing",
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
        "such a file has at most",
    ),
    ("tiny-sd", |at| pipe(&at.join("unet/config.json")), "unet", "it is not a file"),
    ("tiny-sd", |at| folder_instead(&at.join("unet/config.json")), "unet", "it is not a file"),
    (
        "tiny-sd",
        |at| write(at, "hearth.json", "{\"steps\": 7}"),
        ".",
        "steps: there is no key \"steps\" here; known: ",
    ),
    (
        "tiny-sd",
        |at| write(at, "model_index.json", "{\"_class_name\": \"WanPipeline\"}"),
        ".",
        "pipeline class WanPipeline is not supported yet; known: StableDiffusionPipeline",
    ),
    (
        "tiny-sd",
        |at| write(at, "model_index.json", &index(1000, "part")),
        ".",
        "model_index.json: it names 1000 parts, a pipeline has at most 64; restore it",
    ),
    (
        "tiny-sd",
        |at| write(at, "model_index.json", &index(3, "../../etc/")),
        ".",
        "part \"../../etc/0\" is no folder's name; restore it",
    ),
    ("tiny-sd", |at| grow(&at.join("model_index.json")), ".", "such a file has at most 2097152"),
    (
        "tiny-sd",
        |at| set(at, "unet/config.json", "in_channels", "\"a text of many letters\""),
        "unet",
        "in_channels is \"a text of many letters\": give a whole number from 0 to",
    ),
    (
        "tiny-sd",
        |at| set(at, "unet/config.json", "sample_size", "4294967295"),
        "unet",
        "unet/config.json: sample_size 4294967295 is not 1 to 16384; restore the file",
    ),
    (
        "tiny-sd",
        |at| set(at, "unet/config.json", "sample_size", "16384"),
        "unet",
        "and 16384 is the longest side; mend it, or set width and height in hearth.json",
    ),
    (
        "tiny-sd",
        |at| set(at, "vae_decoder/config.json", "latent_channels", "18446744073709551615"),
        "vae_decoder",
        "latent_channels 18446744073709551615 is not 1 to 1024; restore the file",
    ),
    (
        "tiny-sd",
        |at| set(at, "vae_decoder/config.json", "scaling_factor", "1e300"),
        "vae_decoder",
        "vae_decoder/config.json: scaling_factor inf is of no use; restore the file",
    ),
    (
        "tiny-sd",
        |at| set(at, "vae_decoder/config.json", "scaling_factor", "NaN"),
        "vae_decoder",
        "vae_decoder/config.json can't be parsed; mend or restore it: expected value at line",
    ),
    (
        "tiny-lcm",
        |at| set(at, "unet/config.json", "time_cond_proj_dim", "4611686018427387904"),
        "unet",
        "time_cond_proj_dim 4611686018427387904 is not 1 to 65536; restore the file",
    ),
    (
        "tiny-sd3",
        |at| set(at, "transformer/config.json", "joint_attention_dim", "18446744073709551615"),
        "transformer",
        "joint_attention_dim 18446744073709551615 is not 1 to 65536; restore the file",
    ),
    (
        "tiny-sd3",
        |at| set(at, "transformer/config.json", "patch_size", "0"),
        "transformer",
        "transformer/config.json: patch_size 0 is not 1 to 64; restore the file",
    ),
    // hearth.json
    (
        "tiny-sd",
        |at| write(at, "hearth.json", "{\"width\": 4294967295}"),
        ".",
        "hearth.json: width 4294967295: give 1 to 16384",
    ),
    (
        "tiny-sd",
        |at| write(at, "hearth.json", "{\"guidance_scale\": -1}"),
        ".",
        "hearth.json: guidance_scale -1: give a number from 0 to 1000",
    ),
    (
        "tiny-sd",
        |at| write(at, "hearth.json", "{\"height\": 65}"),
        ".",
        "hearth.json: height 65: not a multiple of",
    ),
    (
        "tiny-sd",
        |at| write(at, "hearth.json", "{\"num_inference_steps\": 1001}"),
        ".",
        "hearth.json: num_inference_steps 1001: give 1 to 1000",
    ),
    (
        "tiny-sd",
        |at| write(at, "hearth.json", "[]"),
        ".",
        "can't be parsed; mend or restore it: it is not an object",
    ),
    // schedulers
    (
        "tiny-sd",
        |at| set(at, "scheduler/scheduler_config.json", "num_train_timesteps", "4000000000"),
        "scheduler",
        "`num_train_timesteps` is 4000000000; give a whole number from 1 to 100000",
    ),
    (
        "tiny-sd",
        |at| set(at, "scheduler/scheduler_config.json", "num_train_timesteps", "-Infinity"),
        "scheduler",
        "`num_train_timesteps` is \"-Infinity\"; give a whole number from 1 to 100000",
    ),
    (
        "tiny-sd",
        |at| write(at, "scheduler/scheduler_config.json", "[]"),
        "scheduler",
        "scheduler config: it is not an object; restore the file",
    ),
    (
        "tiny-sd",
        |at| {
            replace(at, "model_index.json", "\"DDIMScheduler\"", "null");
            write(at, "scheduler/scheduler_config.json", "{}");
        },
        "scheduler",
        "`_class_name` is missing; restore the file",
    ),
    (
        "tiny-sd",
        |at| set(at, "unet/config.json", "sample_size", "16.5"),
        "unet",
        "sample_size: 16.5: give a whole number, or [rows, columns]",
    ),
    (
        "tiny-sd",
        |at| {
            let config = "{\"_class_name\": \"AutoencoderDC\", \"latent_channels\": 4}";
            replace(at, "model_index.json", "AutoencoderKL", "AutoencoderDC");
            write(at, "vae_decoder/config.json", config);
        },
        "vae_decoder",
        "it is of AutoencoderDC; known: AutoencoderKL, AsymmetricAutoencoderKL, AutoencoderTiny",
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
        "tiny-sd",
        |at| fs::write(at.join("tokenizer/merges.txt"), [0xff; 4096]).unwrap(),
        "tokenizer",
        "it is not UTF-8; copy or export it again",
    ),
    (
        "tiny-sd",
        |at| write(at, "tokenizer/vocab.json", "{\"a\": \"b\"}"),
        "tokenizer",
        "vocab.json: it doesn't give each token a whole number (line 1, column 9); restore it",
    ),
    (
        "tiny-sd",
        |at| write(at, "tokenizer/merges.txt", &format!("#\n{} b\n", "a".repeat(1 << 20))),
        "tokenizer",
        "is not in vocab.json; restore it",
    ),
    (
        "tiny-sd",
        |at| write(at, "tokenizer/tokenizer_config.json", &many_tokens(4097)),
        "tokenizer",
        "`added_tokens_decoder` is \"4097 tokens\"; give at most 4096",
    ),
    (
        "tiny-flux-dev",
        |at| write(at, "tokenizer_2/tokenizer.json", "{\"model\": []}"),
        "tokenizer_2",
        "tokenizer_2/tokenizer.json:",
    ),
    (
        "tiny-flux-dev",
        |at| {
            let twice =
                "{\"type\": \"Replace\", \"pattern\": {\"String\": \"a\"}, \"content\": \"aa\"}";
            let many = vec![twice; 40].join(", ");
            let sequence = format!("{{\"type\": \"Sequence\", \"normalizers\": [{many}]}}");
            set(at, "tokenizer_2/tokenizer.json", "normalizer", &sequence);
        },
        "tokenizer_2",
        "tokenizer.json: its normalizer makes texts 12157665459056928801 times as long; restore it",
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
