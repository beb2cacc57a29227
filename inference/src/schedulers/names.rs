//! The table of schedulers: short name, diffusers class, and the config keys a short name sets.

use super::error::{Error, nearest};

/// A scheduler class that Hearth has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Ddim,
    Euler,
    EulerAncestral,
    DpmMultistep,
    Pndm,
}

impl Class {
    const ALL: [Self; 5] =
        [Self::Ddim, Self::Euler, Self::EulerAncestral, Self::DpmMultistep, Self::Pndm];

    /// Diffusers' name of the class.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ddim => "DDIMScheduler",
            Self::Euler => "EulerDiscreteScheduler",
            Self::EulerAncestral => "EulerAncestralDiscreteScheduler",
            Self::DpmMultistep => "DPMSolverMultistepScheduler",
            Self::Pndm => "PNDMScheduler",
        }
    }

    /// The config keys that the class has in diffusers.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Ddim => super::ddim::KEYS,
            Self::Euler => super::euler::KEYS,
            Self::EulerAncestral => super::euler_ancestral::KEYS,
            Self::DpmMultistep => super::dpm_multistep::KEYS,
            Self::Pndm => super::pndm::KEYS,
        }
    }
}

/// One line of the table of schedulers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The name to give with `--scheduler`.
    pub name: &'static str,
    /// The diffusers class it stands for.
    pub class: &'static str,
    /// Other spellings of the name; case, spaces, `-`, `_` and `+`/`p` make no difference.
    pub aliases: &'static [&'static str],
    /// Config keys it sets, over the folder's: key and value as written in an override.
    pub overrides: &'static [(&'static str, &'static str)],
}

/// All short names, in the order to show them.
pub fn table() -> Vec<Row> {
    ROWS.iter().map(|(_, row)| *row).collect()
}

/// The class and canonical name that `name` means, and what a short name sets.
pub(super) fn find(name: &str) -> Result<(Class, &'static str, Overrides), Error> {
    let wanted = normal(name);
    for class in Class::ALL {
        if normal(class.name()) == wanted {
            return Ok((class, class.name(), &[]));
        }
    }
    for (class, row) in ROWS {
        if row.aliases.iter().chain([&row.name]).any(|alias| normal(alias) == wanted) {
            return Ok((*class, row.name, row.overrides));
        }
    }
    Err(unknown(name))
}

pub(super) type Overrides = &'static [(&'static str, &'static str)];

/// "DPM++ 2M Karras", "dpmpp-2m_karras" and "dpmpp_2m_karras" are one name.
fn normal(name: &str) -> String {
    let lower = name.trim().to_lowercase().replace('+', "p");
    lower.chars().filter(|char| !matches!(char, ' ' | '-' | '_')).collect()
}

fn unknown(name: &str) -> Error {
    let short = ROWS.iter().map(|(_, row)| row.name);
    let known: Vec<_> = short.chain(Class::ALL.map(Class::name)).collect();
    let nearest = nearest(name, known.iter().copied());
    Error::Unknown { name: name.into(), nearest, known: known.join(", ") }
}

const KARRAS: (&str, &str) = ("use_karras_sigmas", "true");
const EXPONENTIAL: (&str, &str) = ("use_exponential_sigmas", "true");
const PLUS_PLUS: (&str, &str) = ("algorithm_type", "dpmsolver++");
/// Folders of other classes say nothing of this key, and latent models do better with it.
const MULTISTEP_ONLY: (&str, &str) = ("skip_prk_steps", "true");
const SECOND_ORDER: (&str, &str) = ("solver_order", "2");

const ROWS: &[(Class, Row)] = &[
    row(Class::Ddim, "ddim", &[], &[]),
    row(Class::Euler, "euler", &["k_euler", "euler_discrete"], &[]),
    row(Class::Euler, "euler_karras", &["k_euler_karras", "euler_discrete_karras"], &[KARRAS]),
    row(Class::Euler, "euler_exponential", &["euler_discrete_exponential"], &[EXPONENTIAL]),
    row(Class::EulerAncestral, "euler_a", &["euler_ancestral", "k_euler_a"], &[]),
    row(
        Class::DpmMultistep,
        "dpmpp_2m",
        &["k_dpmpp_2m", "dpm_solver++", "dpm_solver_multistep"],
        &[PLUS_PLUS, SECOND_ORDER],
    ),
    row(
        Class::DpmMultistep,
        "dpmpp_2m_karras",
        &["k_dpmpp_2m_karras", "dpm_solver++_karras", "dpm_solver_multistep_karras"],
        &[PLUS_PLUS, SECOND_ORDER, KARRAS],
    ),
    row(
        Class::DpmMultistep,
        "dpmpp_2m_exponential",
        &["dpm_solver++_exponential", "dpm_solver_multistep_exponential"],
        &[PLUS_PLUS, SECOND_ORDER, EXPONENTIAL],
    ),
    row(Class::Pndm, "pndm", &["plms", "k_plms", "pndm_plms"], &[MULTISTEP_ONLY]),
];

const fn row(
    class: Class,
    name: &'static str,
    aliases: &'static [&'static str],
    overrides: Overrides,
) -> (Class, Row) {
    (class, Row { name, class: class.name(), aliases, overrides })
}
