//! LoRA adapters over the wire: each request its own, on one worker, at the same time.

#![expect(clippy::expect_used, reason = "a test may fail anywhere")]

use hearth_tests::{Fleet, FleetOptions, Picture, references, source};
use serde_json::{Value, json};

fn fleet() -> Fleet {
    let model = format!("tiny={}", source().join("tests/models/tiny-lora").display());
    let worker = "slots = 4".to_owned();
    Fleet::start(FleetOptions { model, worker, ..FleetOptions::default() })
}

/// The flags that make a request, and its picture's file.
fn flags(request: &Value, file: &str) -> Vec<String> {
    let mut args: Vec<String> = ["generate", "-o", file].map(str::to_owned).into();
    args.push(request["prompt"].as_str().expect("a prompt").to_owned());
    for (flag, field) in [
        ("--seed", "seed"),
        ("--steps", "num_inference_steps"),
        ("--guidance", "guidance_scale"),
        ("--negative-prompt", "negative_prompt"),
    ] {
        if let Some(value) = request.get(field) {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            args.extend([flag.to_owned(), text]);
        }
    }
    for (name, scale) in request["lora"].as_object().into_iter().flatten() {
        args.extend(["--lora".to_owned(), format!("{name}={scale}")]);
    }
    args
}

#[test]
fn requests_at_once_each_get_their_own_adapters() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    // What needs no further flag.
    let more = ["image", "width", "control_image"];
    let plain = |request: &Value| more.iter().all(|field| request.get(field).is_none());
    let cases: Vec<_> = references("tiny-lora")
        .into_iter()
        .enumerate()
        .filter(|(_, (request, _))| plain(request))
        .collect();
    assert!(cases.len() >= 5);
    let started: Vec<_> = cases
        .iter()
        .map(|(index, (request, _))| {
            let scheduler = if request["seed"] == 3 { "euler_a" } else { "ddim" };
            let mut args = flags(request, &format!("{index}.png"));
            args.extend(["--scheduler", scheduler].map(str::to_owned));
            let args: Vec<_> = args.iter().map(String::as_str).collect();
            fleet.command(&args).stderr(std::process::Stdio::null()).spawn().expect("hearth")
        })
        .collect();
    for mut child in started {
        assert!(child.wait().expect("hearth").success());
    }
    for (index, (request, wanted)) in cases {
        let ours = Picture::open(&fleet.dir().join(format!("{index}.png")));
        let psnr = ours.psnr(&wanted);
        assert!(psnr >= 60.0, "{request}: {psnr:.1} dB");
    }
}

#[test]
fn adapters_are_listed_checked_and_written_into_the_picture() {
    let _turn = hearth_tests::Turn::take();
    let fleet = fleet();
    let models = fleet.hearth(&["models", "--json"]).ok().json();
    assert_eq!(models[0]["lora"], json!(["glow", "ink"]));
    let table = fleet.hearth(&["models"]).ok().stdout;
    assert!(table.contains("LORA") && table.contains("glow,ink"), "{table}");

    let make = ["generate", "red heart", "--steps", "2", "-o", "both.png"];
    let run = fleet.hearth(&[&make[..], &["--lora", "ink=-0.5", "--lora", "glow"]].concat());
    let _ = run.ok();
    let bytes = std::fs::read(fleet.dir().join("both.png")).expect("the picture");
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("red heart <lora:ink:-0.5> <lora:glow:1>\nSteps: 2"));
    assert!(text.contains(r#""lora":[{"name":"ink","scale":-0.5},{"name":"glow","scale":1.0}]"#));

    let cases: [(&[&str], &[&str]); 6] = [
        (&["inc"], &["lora", "\"inc\"", "nearest: ink", "glow, ink"]),
        (&["ink=1000"], &["ink=1000", "-100 to 100"]),
        (&["ink=nan"], &["--lora", "nan"]),
        (&["ink="], &["--lora"]),
        (&["=1"], &["--lora", "ink=0.5"]),
        (&["ink", "ink=0.5"], &["lora", "\"ink\"", "twice"]),
    ];
    for (lora, parts) in cases {
        let given = lora.iter().flat_map(|lora| ["--lora", lora]);
        let args: Vec<_> = ["generate", "x"].into_iter().chain(given).collect();
        let run = fleet.hearth(&args);
        assert_eq!(run.status, 2, "{lora:?}: {run:?}");
        for part in parts {
            let found = run.stderr.to_lowercase().contains(&part.to_lowercase());
            assert!(found, "{lora:?}: {part:?} is not in {}", run.stderr);
        }
    }
}
