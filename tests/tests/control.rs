//! Control images through the whole house: they go over the wire as files of the request do, and
//! what they make is diffusers' own picture. Mistakes are named before anything is computed.

use hearth_tests::{Fleet, FleetOptions, Picture, family, source, unpacked};

#[test]
fn control_images_steer_a_picture_as_in_diffusers() {
    let _turn = hearth_tests::Turn::take();
    let folder = source().join("tests/models/tiny-controlnet");
    let model = format!("tiny={}", folder.display());
    let fleet = Fleet::start(FleetOptions { model, ..FleetOptions::default() });
    let file = family("tiny-controlnet");
    for name in ["edges", "depth", "image"] {
        unpacked(&file["inputs"][name]).save(&fleet.dir().join(format!("{name}.png")));
    }
    std::fs::write(fleet.dir().join("text.png"), "no picture").expect("the file");

    let listed = fleet.hearth(&["models", "--json"]).ok().json();
    let nets = serde_json::json!(["controlnet", "controlnet_1"]);
    assert!(listed.to_string().contains(&nets.to_string()), "{listed}");

    let both = ["--control-image", "edges.png", "--control-image", "depth.png"];
    let compared = [
        (1, ["--size", "32x32", "--guidance", "5"].as_slice()),
        (
            2,
            &[
                "--size",
                "32x32",
                "--guidance",
                "1",
                "--control-scale",
                "0.6",
                "--scheduler",
                "euler_a",
            ],
        ),
        (11, &["--size", "32x32", "--guidance", "5", "--image", "image.png", "--strength", "0.6"]),
    ];
    for (index, more) in compared {
        let case = &file["cases"][index];
        let asked = &case["request"];
        assert_eq!(asked["control_image"], serde_json::json!(["edges", "depth"]), "{asked}");
        let (seed, steps) = (asked["seed"].to_string(), asked["num_inference_steps"].to_string());
        let mut args = vec!["generate", "red heart", "-o", "made.png", "--seed", &seed];
        args.extend(["--steps", &steps]);
        let _ = fleet.hearth(&[&args, both.as_slice(), more].concat()).ok();
        let psnr = Picture::open(&fleet.dir().join("made.png")).psnr(&unpacked(&case["image"]));
        assert!(psnr >= 60.0, "{asked}: {psnr:.1} dB");
    }

    let one = ["--control-image", "edges.png"];
    let mistakes: [(Vec<&[&str]>, &[&str]); 8] = [
        (vec![&one], &["control_image", "of 1", "give 2", "controlnet, controlnet_1"]),
        (vec![&both, &one], &["control_image", "of 3", "give 2"]),
        (vec![&one, &["--control-image", "text.png"]], &["control_image", "PNG"]),
        (vec![&one, &["--control-image", "none.png"]], &["--control-image none.png"]),
        (
            vec![&both, &["--control-scale", "11"]],
            &["controlnet_conditioning_scale", "11", "0 to 10"],
        ),
        (vec![&both, &["--control-scale", "nan"]], &["--control-scale", "nan"]),
        (
            vec![&both, &["--control-start", "0.5", "--control-end", "0.5"]],
            &["control_guidance_start", "0.5", "below control_guidance_end"],
        ),
        (
            vec![&both, &["--control-end", "0.5", "--control-end", "1", "--control-end", "1"]],
            &["control_guidance_end", "one number, or 2"],
        ),
    ];
    for (flags, parts) in mistakes {
        let run = fleet.hearth(&[&["generate", "red heart"], flags.concat().as_slice()].concat());
        assert_eq!(run.status, 2, "{flags:?}: {run:?}");
        for part in parts {
            assert!(
                run.stderr.to_lowercase().contains(&part.to_lowercase()),
                "{flags:?}: {}",
                run.stderr
            );
        }
    }
    assert_eq!(fleet.stats("failed"), [0]);
}
