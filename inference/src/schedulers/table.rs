//! The table of schedulers: each class, and the short names that stand for it.

use hearth_api::nearest;

use super::about::About;
use super::class::Class;
use super::classes;
use super::error::Error;

const PLUS_PLUS: (&str, &str) = ("algorithm_type", "dpmsolver++");
const SDE: (&str, &str) = ("algorithm_type", "sde-dpmsolver++");
const ORDER_2: (&str, &str) = ("solver_order", "2");
const ORDER_3: (&str, &str) = ("solver_order", "3");
/// Folders of other classes say nothing of this key, and latent models do better with it.
const MULTISTEP_ONLY: (&str, &str) = ("skip_prk_steps", "true");

/// A class, and its short names in groups.
struct Entry {
    class: Class,
    names: &'static [&'static [Row]],
}

/// Entries of the table, one for each class: its module in `classes`, and its short names. A name
/// says whether it comes `plain` or also with each of the `curves` of noise levels, its other
/// spellings, and the config keys that it sets. A curve's name sets all three keys of curves, as a
/// folder may set another one, and only one can be true.
macro_rules! entries {
    ($($class:ident: $($kind:ident $name:literal $aliases:tt $set:tt),*;)*) => {
        &[$(Entry {
            class: classes::$class::CLASS,
            names: &[$(entries!(@names $class $kind $name $aliases $set)),*],
        }),*]
    };
    (@names $class:ident plain $name:literal $aliases:tt $set:tt) => {
        &[entries!(@row $class $name "" $aliases $set [])]
    };
    (@names $class:ident curves $name:literal $aliases:tt $set:tt) => {
        &[
            entries!(@row $class $name "" $aliases $set []),
            entries!(@row $class $name "_karras" $aliases $set [KARRAS, NO_EXPONENTIAL, NO_BETA]),
            entries!(
                @row $class $name "_exponential" $aliases $set [NO_KARRAS, EXPONENTIAL, NO_BETA]
            ),
            entries!(@row $class $name "_beta" $aliases $set [NO_KARRAS, NO_EXPONENTIAL, BETA]),
        ]
    };
    (
        @row $class:ident $name:literal $suffix:literal
        [$($alias:literal)*] [$($set:expr),*] [$($curve:expr),*]
    ) => {
        Row {
            name: concat!($name, $suffix),
            class: classes::$class::CLASS.about.name,
            aliases: &[$(concat!($alias, $suffix)),*],
            overrides: &[$($set,)* $($curve),*],
        }
    };
}

const KARRAS: (&str, &str) = ("use_karras_sigmas", "true");
const NO_KARRAS: (&str, &str) = ("use_karras_sigmas", "false");
const EXPONENTIAL: (&str, &str) = ("use_exponential_sigmas", "true");
const NO_EXPONENTIAL: (&str, &str) = ("use_exponential_sigmas", "false");
const BETA: (&str, &str) = ("use_beta_sigmas", "true");
const NO_BETA: (&str, &str) = ("use_beta_sigmas", "false");
/// How the names end that stand for other sigmas than the class's own.
const SIGMAS: [&str; 3] = ["_karras", "_exponential", "_beta"];

static TABLE: &[Entry] = entries! {
    ddpm: plain "ddpm" [] [];
    ddim: plain "ddim" [] [];
    pndm: plain "pndm" ["plms" "k_plms" "pndm_plms"] [MULTISTEP_ONLY];
    lms: curves "lms" ["k_lms" "lms_discrete"] [];
    euler: curves "euler" ["k_euler" "euler_discrete"] [];
    euler_ancestral: plain "euler_a" ["euler_ancestral" "k_euler_a" "k_euler_ancestral"] [];
    heun: curves "heun" ["k_heun" "heun_discrete"] [];
    kdpm2: curves "kdpm2" ["dpm_2"] [];
    kdpm2_ancestral: curves "kdpm2_a" ["kdpm2_ancestral" "dpm_2_a" "dpm_2_ancestral"] [];
    dpm_multistep:
        curves "dpmpp_2m"
            ["k_dpmpp_2m" "dpm_solver++" "dpm_solver_multistep" "dpm_multistep"]
            [PLUS_PLUS, ORDER_2],
        curves "dpmpp_2m_sde" ["k_dpmpp_2m_sde" "dpm_solver_sde_multistep"] [SDE, ORDER_2],
        curves "dpmpp_3m" ["k_dpmpp_3m"] [PLUS_PLUS, ORDER_3],
        curves "dpmpp_3m_sde" ["k_dpmpp_3m_sde"] [SDE, ORDER_3];
    dpm_singlestep:
        curves "dpmpp_2s"
            ["k_dpmpp_2s" "dpm_solver_singlestep" "dpm_singlestep"]
            [PLUS_PLUS, ORDER_2];
    dpm_sde: curves "dpmpp_sde" ["k_dpmpp_sde" "dpm_solver_sde" "dpm_sde"] [];
    deis: curves "deis" ["deis_multistep"] [];
    unipc: curves "unipc" ["uni_pc" "unipc_multistep"] [];
    lcm: plain "lcm" [] [];
    tcd: plain "tcd" [] [];
    edm_euler: plain "edm_euler" [] [];
    edm_multistep: plain "edm_dpmpp_2m" ["edm_dpm_solver_multistep"] [PLUS_PLUS, ORDER_2];
    flow_euler: curves "flow_euler" ["flow_match_euler" "flow_match_euler_discrete"] [];
    flow_heun: plain "flow_heun" ["flow_match_heun" "flow_match_heun_discrete"] [];
    consistency: plain "consistency" ["cm" "cm_stochastic_iterative"] [];
    cosine: plain "cosine" ["cosine_dpm_solver_multistep" "cosine_dpmpp_2m_sde"] [];
};

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
#[must_use]
pub fn table() -> Vec<Row> {
    rows().map(|(_, row)| *row).collect()
}

fn rows() -> impl Iterator<Item = (&'static Class, &'static Row)> {
    TABLE
        .iter()
        .flat_map(|entry| entry.names.iter().copied().flatten().map(|row| (&entry.class, row)))
}

/// What a name means: a class, its canonical name, and what a short name sets.
pub(super) struct Meaning {
    pub(super) class: &'static Class,
    pub(super) name: &'static str,
    pub(super) overrides: &'static [(&'static str, &'static str)],
}

/// The meaning of a class's name or a short one.
pub(super) fn find(name: &str) -> Result<Meaning, Error> {
    if let Some(class) = find_class(name) {
        return Ok(Meaning { class, name: class.about.name, overrides: &[] });
    }
    let wanted = normal(name);
    let means =
        |row: &Row| row.aliases.iter().chain([&row.name]).any(|alias| normal(alias) == wanted);
    match rows().find(|(_, row)| means(row)) {
        Some((class, row)) => Ok(Meaning { class, name: row.name, overrides: row.overrides }),
        None => Err(unknown(name)),
    }
}

/// The class of that name.
fn find_class(name: &str) -> Option<&'static Class> {
    let wanted = normal(name);
    TABLE.iter().map(|entry| &entry.class).find(|class| normal(class.about.name) == wanted)
}

/// The short names of the classes that take `field`, each class once.
pub(super) fn takers(field: &str) -> String {
    let takes = |about: &About| about.takes.contains(&field);
    let takers = TABLE.iter().filter(|entry| takes(&entry.class.about));
    let name = |entry: &Entry| {
        let first = entry.names.iter().copied().flatten().next();
        first.map_or(entry.class.about.name, |row| row.name)
    };
    takers.map(name).collect::<Vec<_>>().join(", ")
}

/// "DPM++ 2M Karras", "dpmpp-2m_karras" and "dpmpp_2m_karras" are one name.
fn normal(name: &str) -> String {
    let lower = name.trim().to_lowercase().replace('+', "p");
    lower.chars().filter(|char| !matches!(char, ' ' | '-' | '_')).collect()
}

pub(super) fn unknown(name: &str) -> Error {
    let short = rows().map(|(_, row)| row.name);
    let classes = TABLE.iter().map(|entry| entry.class.about.name);
    let known: Vec<_> = short.chain(classes).collect();
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
            assert_eq!(find(shown).unwrap().name, name, "{shown}");
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
        for Entry { class, names } in TABLE {
            assert!(names.iter().any(|group| !group.is_empty()), "{class:?}");
            let same = TABLE.iter().filter(|other| other.class == *class);
            assert_eq!(same.count(), 1, "{class:?}");
        }
    }

    #[test]
    fn a_curves_name_sets_the_other_curves_off() {
        let Meaning { overrides, .. } = find("dpmpp_2m_exponential").unwrap();
        assert!(overrides.contains(&("use_karras_sigmas", "false")), "{overrides:?}");
        assert!(overrides.contains(&("use_exponential_sigmas", "true")), "{overrides:?}");
        assert!(overrides.contains(&("solver_order", "2")), "{overrides:?}");
    }
}
