//! The classes of schedulers and the table of their short names: name, diffusers class, and the
//! config keys a short name sets.

use super::error::Error;
use super::{
    consistency, cosine, ddim, ddpm, deis, dpm_multistep, dpm_sde, dpm_singlestep, edm_euler,
    edm_multistep, euler, euler_ancestral, flow_euler, flow_heun, heun, kdpm2, kdpm2_ancestral,
    lcm, lms, pndm, tcd, unipc,
};
use crate::nearest::nearest;

/// A scheduler class that Hearth has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Ddpm,
    Ddim,
    Pndm,
    Lms,
    Euler,
    EulerAncestral,
    Heun,
    Kdpm2,
    Kdpm2Ancestral,
    DpmMultistep,
    DpmSinglestep,
    DpmSde,
    Deis,
    UniPc,
    Lcm,
    Tcd,
    EdmEuler,
    EdmMultistep,
    FlowEuler,
    FlowHeun,
    Consistency,
    Cosine,
}

/// What a class's file says of it.
#[derive(Debug)]
pub(super) struct About {
    /// Diffusers' name of the class.
    pub(super) name: &'static str,
    /// The config keys that the class has in diffusers.
    pub(super) keys: &'static [&'static str],
    /// What its `set_timesteps` takes besides the number of steps, by its field in `Run`.
    pub(super) takes: &'static [&'static str],
}

impl Class {
    pub(super) const ALL: [Self; 22] = [
        Self::Ddpm,
        Self::Ddim,
        Self::Pndm,
        Self::Lms,
        Self::Euler,
        Self::EulerAncestral,
        Self::Heun,
        Self::Kdpm2,
        Self::Kdpm2Ancestral,
        Self::DpmMultistep,
        Self::DpmSinglestep,
        Self::DpmSde,
        Self::Deis,
        Self::UniPc,
        Self::Lcm,
        Self::Tcd,
        Self::EdmEuler,
        Self::EdmMultistep,
        Self::FlowEuler,
        Self::FlowHeun,
        Self::Consistency,
        Self::Cosine,
    ];

    pub(super) const fn about(self) -> &'static About {
        match self {
            Self::Ddpm => &ddpm::ABOUT,
            Self::Ddim => &ddim::ABOUT,
            Self::Pndm => &pndm::ABOUT,
            Self::Lms => &lms::ABOUT,
            Self::Euler => &euler::ABOUT,
            Self::EulerAncestral => &euler_ancestral::ABOUT,
            Self::Heun => &heun::ABOUT,
            Self::Kdpm2 => &kdpm2::ABOUT,
            Self::Kdpm2Ancestral => &kdpm2_ancestral::ABOUT,
            Self::DpmMultistep => &dpm_multistep::ABOUT,
            Self::DpmSinglestep => &dpm_singlestep::ABOUT,
            Self::DpmSde => &dpm_sde::ABOUT,
            Self::Deis => &deis::ABOUT,
            Self::UniPc => &unipc::ABOUT,
            Self::Lcm => &lcm::ABOUT,
            Self::Tcd => &tcd::ABOUT,
            Self::EdmEuler => &edm_euler::ABOUT,
            Self::EdmMultistep => &edm_multistep::ABOUT,
            Self::FlowEuler => &flow_euler::ABOUT,
            Self::FlowHeun => &flow_heun::ABOUT,
            Self::Consistency => &consistency::ABOUT,
            Self::Cosine => &cosine::ABOUT,
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
    rows().map(|(_, row)| *row).collect()
}

fn rows() -> impl Iterator<Item = &'static (Class, Row)> {
    GROUPS.iter().copied().flatten()
}

/// The class and canonical name that `name` means, and what a short name sets.
pub(super) fn find(name: &str) -> Result<(Class, &'static str, Overrides), Error> {
    let wanted = normal(name);
    for class in Class::ALL {
        if normal(class.about().name) == wanted {
            return Ok((class, class.about().name, &[]));
        }
    }
    for (class, row) in rows() {
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

/// How the names end that stand for other sigmas than the class's own.
const SIGMAS: [&str; 3] = ["_karras", "_exponential", "_beta"];

fn unknown(name: &str) -> Error {
    let short = rows().map(|(_, row)| row.name);
    let known: Vec<_> = short.chain(Class::ALL.map(|class| class.about().name)).collect();
    let nearest = nearest(name, known.iter().copied());
    // The names of sigmas are said once, and classes by what they are: all would fill a screen.
    let plain = |name: &&str| !SIGMAS.iter().any(|sigmas| name.ends_with(sigmas));
    let listed: Vec<_> = rows().map(|(_, row)| row.name).filter(plain).collect();
    let known = format!(
        "{}; also with {} where it has those sigmas, or diffusers' name of the class",
        listed.join(", "),
        SIGMAS.join(", ")
    );
    Error::Unknown { name: name.into(), nearest, known }
}

const PLUS_PLUS: (&str, &str) = ("algorithm_type", "dpmsolver++");
const SDE: (&str, &str) = ("algorithm_type", "sde-dpmsolver++");
const ORDER_2: (&str, &str) = ("solver_order", "2");
const ORDER_3: (&str, &str) = ("solver_order", "3");
/// Folders of other classes say nothing of this key, and latent models do better with it.
const MULTISTEP_ONLY: (&str, &str) = ("skip_prk_steps", "true");

const fn row(
    class: Class,
    name: &'static str,
    aliases: &'static [&'static str],
    overrides: Overrides,
) -> (Class, Row) {
    (class, Row { name, class: class.about().name, aliases, overrides })
}

/// A row, and where `sigmas` stands before it one for each curve of noise levels as well. A
/// curve's name sets all three keys, as a folder may set another one, and only one can be true.
macro_rules! rows {
    (@curved $class:ident $name:literal [$($alias:literal)*] [$($set:expr),*] $suffix:literal $karras:literal $exponential:literal $beta:literal) => {
        row(
            Class::$class,
            concat!($name, $suffix),
            &[$(concat!($alias, $suffix)),*],
            &[
                $($set,)*
                ("use_karras_sigmas", $karras),
                ("use_exponential_sigmas", $exponential),
                ("use_beta_sigmas", $beta),
            ],
        )
    };
    (@row $class:ident $name:literal $aliases:tt [$($set:expr),*] plain) => {
        &[rows!(@first $class $name $aliases [$($set),*])]
    };
    (@first $class:ident $name:literal [$($alias:literal)*] [$($set:expr),*]) => {
        row(Class::$class, $name, &[$($alias),*], &[$($set),*])
    };
    (@row $class:ident $name:literal $aliases:tt [$($set:expr),*] curves) => {
        &[
            rows!(@first $class $name $aliases [$($set),*]),
            rows!(@curved $class $name $aliases [$($set),*] "_karras" "true" "false" "false"),
            rows!(@curved $class $name $aliases [$($set),*] "_exponential" "false" "true" "false"),
            rows!(@curved $class $name $aliases [$($set),*] "_beta" "false" "false" "true"),
        ]
    };
    ($($kind:ident $class:ident $name:literal $aliases:tt $set:tt;)*) => {
        &[$(rows!(@row $class $name $aliases $set $kind)),*]
    };
}

const GROUPS: &[&[(Class, Row)]] = rows! {
    plain Ddpm "ddpm" [] [];
    plain Ddim "ddim" [] [];
    plain Pndm "pndm" ["plms" "k_plms" "pndm_plms"] [MULTISTEP_ONLY];
    curves Lms "lms" ["k_lms" "lms_discrete"] [];
    curves Euler "euler" ["k_euler" "euler_discrete"] [];
    plain EulerAncestral "euler_a" ["euler_ancestral" "k_euler_a" "k_euler_ancestral"] [];
    curves Heun "heun" ["k_heun" "heun_discrete"] [];
    curves Kdpm2 "kdpm2" ["dpm_2"] [];
    curves Kdpm2Ancestral "kdpm2_a" ["kdpm2_ancestral" "dpm_2_a" "dpm_2_ancestral"] [];
    curves DpmMultistep "dpmpp_2m" ["k_dpmpp_2m" "dpm_solver++" "dpm_solver_multistep" "dpm_multistep"] [PLUS_PLUS, ORDER_2];
    curves DpmMultistep "dpmpp_2m_sde" ["k_dpmpp_2m_sde" "dpm_solver_sde_multistep"] [SDE, ORDER_2];
    curves DpmMultistep "dpmpp_3m" ["k_dpmpp_3m"] [PLUS_PLUS, ORDER_3];
    curves DpmMultistep "dpmpp_3m_sde" ["k_dpmpp_3m_sde"] [SDE, ORDER_3];
    curves DpmSinglestep "dpmpp_2s" ["k_dpmpp_2s" "dpm_solver_singlestep" "dpm_singlestep"] [PLUS_PLUS, ORDER_2];
    curves DpmSde "dpmpp_sde" ["k_dpmpp_sde" "dpm_solver_sde" "dpm_sde"] [];
    curves Deis "deis" ["deis_multistep"] [];
    curves UniPc "unipc" ["uni_pc" "unipc_multistep"] [];
    plain Lcm "lcm" [] [];
    plain Tcd "tcd" [] [];
    plain EdmEuler "edm_euler" [] [];
    plain EdmMultistep "edm_dpmpp_2m" ["edm_dpm_solver_multistep"] [PLUS_PLUS, ORDER_2];
    curves FlowEuler "flow_euler" ["flow_match_euler" "flow_match_euler_discrete"] [];
    plain FlowHeun "flow_heun" ["flow_match_heun" "flow_match_heun_discrete"] [];
    plain Consistency "consistency" ["cm" "cm_stochastic_iterative"] [];
    plain Cosine "cosine" ["cosine_dpm_solver_multistep" "cosine_dpmpp_2m_sde"] [];
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_other_programs_show_are_understood() {
        for (shown, name) in [
            ("DPM++ 2M SDE Karras", "dpmpp_2m_sde_karras"),
            ("DPM++ 3M SDE Exponential", "dpmpp_3m_sde_exponential"),
            ("DPM++ SDE Karras", "dpmpp_sde_karras"),
            ("DPM2 a Karras", "kdpm2_a_karras"),
            ("DPM2", "kdpm2"),
            ("LMS Karras", "lms_karras"),
            ("Heun", "heun"),
            ("UniPC", "unipc"),
            ("uni_pc_beta", "unipc_beta"),
            ("LCM", "lcm"),
            ("flow-match-euler", "flow_euler"),
        ] {
            assert_eq!(find(shown).unwrap().1, name, "{shown}");
        }
    }

    #[test]
    fn no_name_has_two_meanings_and_every_class_has_a_name() {
        let mut seen = std::collections::HashMap::new();
        for (_, row) in rows() {
            for name in row.aliases.iter().chain([&row.name]) {
                let other = seen.insert(normal(name), row.name);
                assert!(
                    other.is_none_or(|o| o == row.name),
                    "{name} is {} and {other:?}",
                    row.name
                );
            }
        }
        for class in Class::ALL {
            assert!(rows().any(|(other, _)| *other == class), "{class:?}");
        }
    }

    #[test]
    fn a_curves_name_sets_the_other_curves_off() {
        let (_, _, overrides) = find("dpmpp_2m_exponential").unwrap();
        assert!(overrides.contains(&("use_karras_sigmas", "false")), "{overrides:?}");
        assert!(overrides.contains(&("use_exponential_sigmas", "true")), "{overrides:?}");
        assert!(overrides.contains(&("solver_order", "2")), "{overrides:?}");
    }
}
