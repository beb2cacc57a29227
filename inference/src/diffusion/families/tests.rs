//! Which numbers of a VAE's config each family heeds.

use super::{flux, stable_diffusion, stable_diffusion_3, stable_diffusion_xl};
use crate::diffusion::components::Scaling;
use crate::diffusion::family::PictureFamily;
use crate::diffusion::settings::Settings;

/// A VAE of one channel whose config sets every number.
const CONFIG: &str = r#"{"block_out_channels": [4], "latent_channels": 1, "scaling_factor": 0.5,
    "shift_factor": 0.25, "latents_mean": [3], "latents_std": [4]}"#;
const BARE: [(f32, f32); 1] = [(2.0, 0.0)];
const SHIFTED: [(f32, f32); 1] = [(2.0, 0.25)];
const SPREAD: [(f32, f32); 1] = [(8.0, 3.0)];

/// What is decoded with, and what is encoded with: of nothing, of a part to fill, and of such a
/// part where control images steer it.
fn of(family: &PictureFamily) -> [[(f32, f32); 1]; 6] {
    let scaling = Scaling::of(family.scaling, &serde_json::from_str(CONFIG).unwrap());
    let plain = Settings::default();
    let fill = Settings { fills: true, ..plain.clone() };
    let steered = Settings { controls: 1, ..fill.clone() };
    let requests = [&plain, &fill, &steered];
    let decoding = requests.map(|request| [scaling.decoding(request)[0]]);
    let encoding = requests.map(|request| [scaling.encoding(request)[0]]);
    let [a, b, c] = decoding;
    let [d, e, f] = encoding;
    [a, b, c, d, e, f]
}

#[test]
fn each_family_heeds_what_its_pipelines_in_diffusers_do() {
    for family in [&stable_diffusion::FAMILY, &stable_diffusion::LATENT_CONSISTENCY] {
        assert_eq!(of(family), [BARE; 6]);
    }
    assert_eq!(of(&flux::FAMILY), [SHIFTED; 6]);
    let three = [SHIFTED, BARE, BARE, SHIFTED, SHIFTED, SHIFTED];
    assert_eq!(of(&stable_diffusion_3::FAMILY), three);
    let xl = [SPREAD, SPREAD, BARE, SPREAD, BARE, BARE];
    assert_eq!(of(&stable_diffusion_xl::FAMILY), xl);
}

#[test]
fn a_mean_without_a_spread_is_not_heeded() {
    let text = CONFIG.replace(r#", "latents_std": [4]"#, "");
    let config = serde_json::from_str(&text).unwrap();
    let scaling = Scaling::of(stable_diffusion_xl::FAMILY.scaling, &config);
    assert_eq!(scaling.decoding(&Settings::default()), BARE);
}
