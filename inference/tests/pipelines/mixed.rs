//! A UNet and its ControlNets, each in a precision of its own.

use std::path::{Path, PathBuf};

use hearth_api::GenerationRequest;
use hearth_inference::model;
use hearth_inference::session::Interrupt;
use hearth_media::{Image, Media};

use super::support;
use super::surgery;

/// How a graph is in its folder.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Single,
    /// In half precision, its weights in the graph.
    Half,
    /// In half precision, its weights in a file beside it: these run in single on a CPU.
    Beside,
}

/// Half precision rounds to one in 2048 here and there, which guidance multiplies by 3.
const NEAR: f64 = 50.0;

fn folder() -> PathBuf {
    support::repository().join("tests/models/tiny-controlnet")
}

fn steered() -> GenerationRequest {
    let picture = |grey: u8| {
        let rgb = (0..32 * 32 * 3).map(|at| if at % 7 < 3 { grey } else { 255 - grey }).collect();
        support::png(&Image::new(32, 32, rgb).unwrap())
    };
    GenerationRequest { control_image: vec![picture(0), picture(90)], ..support::red_heart(3) }
}

fn picture(folder: &Path) -> Vec<u8> {
    let mut pipeline = support::load(folder).unwrap();
    model::warm_up(pipeline.as_mut(), &Interrupt::new()).unwrap();
    match support::generate(pipeline.as_mut(), &steered(), 5).unwrap().media {
        Media::Image(image) => image.rgb,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_unet_and_its_controlnets_may_differ_in_precision() {
    let wanted = picture(&folder());
    use Form::{Beside, Half, Single};
    // The UNet's, and those of its ControlNets.
    let all = [
        [Single, Half, Beside],
        [Half, Single, Beside],
        [Beside, Single, Half],
        [Half, Beside, Half],
    ];
    let mut worst = f64::INFINITY;
    for own in all {
        let copy = support::copy_of(&folder());
        for (part, form) in ["unet", "controlnet", "controlnet_1"].into_iter().zip(own) {
            if form != Single {
                let graph = copy.path().join(part).join("model.onnx");
                surgery::halve(&graph, form == Beside);
            }
        }
        let near = support::psnr(&picture(copy.path()), &wanted);
        assert!(near >= NEAR, "{own:?}: {near} dB");
        worst = worst.min(near);
    }
    println!("{worst:.1} dB at worst");
}
