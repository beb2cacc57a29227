//! Large pictures in tiles: as diffusers cuts them, without seams, with graphs of a fixed size, and
//! with what goes wrong on the way.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hearth_api::GenerationRequest;
use hearth_inference::LoadOptions;
use hearth_inference::blueprint::folder::{TilingThreshold, VaeTiling};
use hearth_inference::model::{self, Error, Model};
use hearth_inference::session::Interrupt;
use hearth_media::{Image, Media};
use serde::Deserialize;

use super::support::{self, Drive as _, copy_of, emoji, red_heart};
use super::surgery;
use super::vectors::{Array, PSNR};

/// Tiles may differ from the whole by no more than this, in decibels.
const SEAMLESS: f64 = 35.0;

#[derive(Deserialize)]
struct File {
    inputs: BTreeMap<String, Array>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    model: String,
    tile: u32,
    overlap: f64,
    request: Request,
    image: Array,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    prompt: String,
    num_inference_steps: u32,
    guidance_scale: f64,
    seed: u64,
    width: u32,
    height: u32,
    image: Option<String>,
    mask_image: Option<String>,
    strength: Option<f64>,
    max_sequence_length: Option<u32>,
}

fn tiles(tile: u32, overlap: f64) -> VaeTiling {
    let above = Some(TilingThreshold::Size([tile, tile]));
    VaeTiling { above, tile: Some(tile), overlap: Some(overlap) }
}

fn load(folder: &Path, vae_tiling: VaeTiling) -> Result<Box<dyn Model>, Error> {
    let options = LoadOptions { vae_tiling, ..LoadOptions::default() };
    hearth_inference::load(&support::runtime(), folder, &options)
}

fn refusal(folder: &Path, vae_tiling: VaeTiling) -> String {
    match load(folder, vae_tiling) {
        Ok(_) => panic!("{vae_tiling:?} was accepted"),
        Err(error) => support::chain(&error),
    }
}

fn picture(pipeline: &mut dyn Model, request: &GenerationRequest, seed: u64) -> Image {
    let Media::Image(image) = support::generate(pipeline, request, seed).unwrap().media else {
        panic!("no picture")
    };
    image
}

fn of_size(width: u32, height: u32) -> GenerationRequest {
    GenerationRequest { width: Some(width), height: Some(height), ..red_heart(2) }
}

#[test]
fn tiles_are_cut_and_mixed_as_in_diffusers() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/pipelines/tiles.json");
    let file: File = serde_json::from_str(&fs::read_to_string(vectors).unwrap()).unwrap();
    let input = |name: &Option<String>| name.as_ref().map(|name| file.inputs[name].picture());
    assert!(file.cases.len() >= 6);
    for Case { model, tile, overlap, request, image } in &file.cases {
        let folder = support::repository().join(model);
        let mut pipeline = load(&folder, tiles(*tile, *overlap)).unwrap();
        let generation = GenerationRequest {
            prompt: request.prompt.clone(),
            num_inference_steps: Some(request.num_inference_steps),
            guidance_scale: Some(request.guidance_scale),
            width: Some(request.width),
            height: Some(request.height),
            image: input(&request.image),
            mask_image: input(&request.mask_image),
            strength: request.strength,
            max_sequence_length: request.max_sequence_length,
            ..GenerationRequest::default()
        };
        let made = picture(pipeline.as_mut(), &generation, request.seed);
        let near = support::psnr(&made.rgb, &image.bytes());
        println!("{model}, {tile} pixels, {overlap}: {near:.1} dB");
        assert!(near >= PSNR, "{model}, {tile} pixels, {overlap}: {near} dB");
    }
}

/// A picture made in tiles against one made whole.
fn check_seams(name: &str, whole: &Image, made: &Image) {
    let near = support::psnr(&whole.rgb, &made.rgb);
    println!("{name}: {near:.1} dB");
    assert!(near >= SEAMLESS, "{name}: {near} dB");
}

#[test]
fn the_trained_models_pictures_show_no_seams() {
    let folder = copy_of(&emoji());
    let own = "{\"num_inference_steps\": 3, \"max_size\": 512}";
    fs::write(folder.path().join("hearth.json"), own).unwrap();
    let mut uncut = load(folder.path(), VaeTiling::default()).unwrap();
    for (width, height, tile) in [(256, 192, 64), (192, 256, 128), (128, 104, 64)] {
        let request = of_size(width, height);
        let whole = picture(uncut.as_mut(), &request, 7);
        let mut cut = load(folder.path(), tiles(tile, 0.25)).unwrap();
        let made = picture(cut.as_mut(), &request, 7);
        assert_ne!(whole, made, "it was not cut");
        check_seams(&format!("{width}x{height}, {tile}"), &whole, &made);

        let change =
            GenerationRequest { image: Some(support::png(&whole)), strength: Some(0.5), ..request };
        let (whole, made) =
            (picture(uncut.as_mut(), &change, 8), picture(cut.as_mut(), &change, 8));
        check_seams(&format!("{width}x{height}, {tile}, changed"), &whole, &made);
    }
}

/// A VAE with attention and group normalisation, which look at all of what they are given.
#[test]
fn a_vae_that_sees_all_of_its_tile_shows_no_seams() {
    let folder = copy_of(&support::repository().join("tests/models/tiny-sd"));
    fs::write(folder.path().join("hearth.json"), "{\"max_size\": 256}").unwrap();
    for (width, height) in [(160, 128), (132, 144)] {
        let request = of_size(width, height);
        let off = VaeTiling { above: Some(TilingThreshold::Off), ..VaeTiling::default() };
        let whole = picture(load(folder.path(), off).unwrap().as_mut(), &request, 7);
        let made = picture(load(folder.path(), tiles(128, 0.25)).unwrap().as_mut(), &request, 7);
        check_seams(&format!("{width}x{height}"), &whole, &made);
    }
}

#[test]
fn small_pictures_are_done_in_one_piece() {
    let runs = |tiling: VaeTiling, request: &GenerationRequest| {
        let mut pipeline = load(&emoji(), tiling).unwrap();
        let interrupt = Interrupt::new();
        let mut state = pipeline.start(request, 1, &interrupt).unwrap();
        pipeline.step(&mut [&mut state], &interrupt).unwrap();
        let (count, counting) = (Arc::new(AtomicUsize::new(0)), Interrupt::new());
        let counted = Arc::clone(&count);
        counting.on_run(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        pipeline.finish(state, &counting).unwrap();
        count.load(Ordering::Relaxed)
    };
    let large = of_size(128, 128);
    assert_eq!(runs(VaeTiling::default(), &large), 1, "far below the default");
    assert_eq!(runs(tiles(64, 0.25), &large), 9);
    assert_eq!(runs(tiles(64, 0.25), &of_size(64, 64)), 1);
    assert_eq!(runs(tiles(128, 0.25), &large), 1);
    assert_eq!(runs(VaeTiling { above: Some(TilingThreshold::Off), ..tiles(64, 0.25) }, &large), 1);
    let above = VaeTiling { above: Some(TilingThreshold::Size([128, 120])), ..tiles(64, 0.25) };
    assert_eq!(runs(above, &large), 9);
    assert_eq!(runs(above, &of_size(128, 120)), 1);
}

#[test]
fn an_interrupt_is_looked_at_between_tiles() {
    let mut pipeline = load(&emoji(), tiles(64, 0.25)).unwrap();
    let (calm, stopped) = (Interrupt::new(), Interrupt::new());
    let mut state = pipeline.start(&of_size(128, 128), 1, &calm).unwrap();
    for _ in 0..2 {
        pipeline.step(&mut [&mut state], &calm).unwrap();
    }
    let (tiles, switch) = (Arc::new(AtomicUsize::new(0)), stopped.clone());
    let begun = Arc::clone(&tiles);
    stopped.on_run(move || {
        if begun.fetch_add(1, Ordering::Relaxed) == 3 {
            switch.interrupt();
        }
    });
    assert!(matches!(pipeline.finish(state, &stopped), Err(Error::Interrupted(_))));
    assert_eq!(tiles.load(Ordering::Relaxed), 4, "no tile after it");
}

#[test]
fn previews_are_the_same_with_tiles() {
    let preview = |tiling| {
        let mut pipeline = load(&emoji(), tiling).unwrap();
        let interrupt = Interrupt::new();
        let mut state = pipeline.start(&of_size(128, 128), 1, &interrupt).unwrap();
        pipeline.step(&mut [&mut state], &interrupt).unwrap();
        pipeline.preview(&state, &interrupt).unwrap().unwrap()
    };
    assert_eq!(preview(tiles(64, 0.25)), preview(VaeTiling::default()));
}

#[test]
fn a_folder_says_how_it_is_cut_and_a_worker_over_it() {
    let folder = copy_of(&emoji());
    let own = folder.path().join("hearth.json");
    fs::write(&own, r#"{"vae_tiling": {"above": "64x64", "tile": 64}}"#).unwrap();
    let request = of_size(128, 64);
    let by_folder = load(folder.path(), VaeTiling::default()).unwrap();
    let by_worker = load(&emoji(), tiles(64, 0.25)).unwrap();
    let [by_folder, by_worker] =
        [by_folder, by_worker].map(|mut pipeline| picture(pipeline.as_mut(), &request, 3));
    assert_eq!(by_folder, by_worker);
    let off = VaeTiling { above: Some(TilingThreshold::Off), ..VaeTiling::default() };
    let whole = picture(load(folder.path(), off).unwrap().as_mut(), &request, 3);
    assert_ne!(by_folder, whole);

    fs::write(&own, r#"{"vae_tiling": {"tile": "big"}}"#).unwrap();
    assert!(refusal(folder.path(), VaeTiling::default()).contains("hearth.json can't be parsed"));
    fs::write(&own, r#"{"vae_tiling": {"overlap": 0.9}}"#).unwrap();
    let message = refusal(folder.path(), VaeTiling::default());
    assert!(message.contains("vae_tiling.overlap 0.9: give a share above 0"), "{message}");
}

#[test]
fn tiles_that_do_not_fit_the_vae_are_refused() {
    for (tiling, message) in [
        (tiles(70, 0.25), "vae_tiling.tile 70: not a multiple of 4"),
        (tiles(32, 0.25), "vae_tiling.tile 32: a decoder sees too little in it; give 64 or more"),
        (tiles(64, 0.01), "vae_tiling.overlap 0.01: less than one of the 16 cells of a tile"),
        (
            VaeTiling { above: Some(TilingThreshold::Size([32, 32])), ..VaeTiling::default() },
            "vae_tiling.above 32x32: smaller than a tile of 64x64",
        ),
    ] {
        let refused = refusal(&emoji(), tiling);
        assert!(refused.contains(message), "{refused}");
    }
    for model in ["tests/models/tiny-ddpm", "tests/models/gate"] {
        let refused = refusal(&support::repository().join(model), tiles(64, 0.25));
        assert!(refused.contains("vae_tiling: there is no VAE"), "{refused}");
    }
}

#[test]
fn graphs_of_a_fixed_size_make_larger_pictures_in_tiles() {
    let folder = copy_of(&emoji());
    let decoder = folder.path().join("vae_decoder/model.onnx");
    surgery::fix_size(&decoder, "latent_sample", [16, 16]);
    surgery::fix_size(&folder.path().join("vae_encoder/model.onnx"), "sample", [64, 64]);

    // Without tiles there is one size.
    let mut fixed = load(folder.path(), VaeTiling::default()).unwrap();
    assert!(fixed.pictures().fixed_size);
    let message = fixed.check(&of_size(128, 64)).unwrap_err().to_string();
    assert!(message.contains("width 128: this export has its size built in; give 64"), "{message}");
    let small = of_size(64, 64);
    let open = picture(load(&emoji(), VaeTiling::default()).unwrap().as_mut(), &small, 4);
    assert_eq!(picture(fixed.as_mut(), &small, 4), open);

    // With them any size from a tile's on.
    let mut cut = load(folder.path(), tiles(64, 0.25)).unwrap();
    model::warm_up(cut.as_mut(), &Interrupt::new()).unwrap();
    let message = cut.check(&of_size(128, 32)).unwrap_err().to_string();
    assert_eq!(message, "height 32: give 64 to 128 pixels");
    let mut whole = load(&emoji(), VaeTiling::default()).unwrap();
    for request in [of_size(128, 104), of_size(64, 96), small] {
        let wanted = picture(whole.as_mut(), &request, 4);
        let made = picture(cut.as_mut(), &request, 4);
        check_seams("a fixed size", &wanted, &made);
        let change = GenerationRequest {
            image: Some(support::png(&wanted)),
            strength: Some(0.5),
            ..request
        };
        let wanted = picture(whole.as_mut(), &change, 4);
        check_seams("a fixed size, changed", &wanted, &picture(cut.as_mut(), &change, 4));
    }
    let interrupt = Interrupt::new();
    let state = cut.start(&of_size(128, 128), 1, &interrupt).unwrap();
    assert!(cut.preview(&state, &interrupt).unwrap().is_none(), "there is no small picture");

    let message = refusal(folder.path(), tiles(128, 0.25));
    assert!(message.contains("vae_tiling.tile 128: vae_decoder has 64x64 built in"), "{message}");
    surgery::fix_size(&decoder, "latent_sample", [32, 32]);
    let message = refusal(folder.path(), VaeTiling::default());
    assert!(
        message.contains("vae_encoder: it has 64x64 built in where pictures are of 128x128"),
        "{message}"
    );
}
