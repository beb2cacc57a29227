//! This host's graphics cards, dealt out by rank through the variable that CUDA reads.

use crate::{Error, Gpus, LaunchSpec};

const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";

/// The cards of each rank, with the variable that says so to CUDA; none where the spec asks for
/// none.
pub(crate) fn deal(
    launcher: &'static str,
    spec: &LaunchSpec,
) -> Result<Option<Vec<(String, String)>>, Error> {
    let visible = std::env::var(VISIBLE).ok();
    let devices = devices(launcher, spec, visible.as_deref(), installed())?;
    let named = |value| (VISIBLE.to_owned(), value);
    Ok(devices.map(|devices| devices.into_iter().map(named).collect()))
}

/// What a spec asks for by the cards' ids, in the order in which [`deal`] deals them out; as it is
/// where it asks for none.
pub(crate) fn choose(launcher: &'static str, spec: &LaunchSpec) -> Result<Option<Gpus>, Error> {
    let asked = &spec.resources.gpus;
    if matches!(asked, None | Some(Gpus::Count(0))) {
        return Ok(asked.clone());
    }
    let cards = deal(launcher, spec)?.unwrap_or_default();
    let ids = cards.iter().flat_map(|(_, ids)| ids.split(',')).map(str::to_owned);
    Ok(Some(Gpus::Devices(ids.collect())))
}

/// The graphics cards of each rank, as `CUDA_VISIBLE_DEVICES` has them. `visible` is the caller's
/// own value: it can only pass on what it has. `installed` is how many there are; 0 where that is
/// not known.
fn devices(
    launcher: &'static str,
    spec: &LaunchSpec,
    visible: Option<&str>,
    installed: usize,
) -> Result<Option<Vec<String>>, Error> {
    let Some(gpus) = &spec.resources.gpus else { return Ok(None) };
    if spec.env.contains_key(VISIBLE) {
        return Err(Error::Spec {
            field: "env",
            value: VISIBLE.to_owned(),
            remedy: "leave it out, or ask for no graphics cards: they are dealt out by it"
                .to_owned(),
        });
    }
    let ranks = spec.replicas as usize;
    let (all, each): (Vec<String>, usize) = match gpus {
        Gpus::Typed(cards) => return Err(cards.refuse(launcher)),
        Gpus::Devices(devices) => (devices.clone(), devices.len() / ranks),
        Gpus::Count(each) => {
            let each = *each as usize;
            let wanted = each * ranks;
            let own: Vec<String> = match visible {
                Some(list) => list.split(',').map(|d| d.trim().to_owned()).collect(),
                None if installed == 0 => (0..wanted).map(|index| index.to_string()).collect(),
                None => (0..installed).map(|index| index.to_string()).collect(),
            };
            let own: Vec<String> = own.into_iter().filter(|device| !device.is_empty()).collect();
            if own.len() < wanted {
                return Err(Error::Spec {
                    field: "gpus",
                    value: format!("{each} for each of {ranks} replicas"),
                    remedy: format!("this host has {} to give", own.len()),
                });
            }
            (own, each)
        }
    };
    let of = |rank: usize| all[rank * each..(rank + 1) * each].join(",");
    Ok(Some((0..ranks).map(of).collect()))
}

/// The graphics cards of this host that the driver shows as files.
fn installed() -> usize {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let numbered = |name: &String| {
        name.strip_prefix("nvidia").is_some_and(|number| number.parse::<u32>().is_ok())
    };
    names.filter(numbered).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(replicas: u32, gpus: Gpus) -> LaunchSpec {
        let mut spec = LaunchSpec::new("job", replicas, "true");
        spec.resources.gpus = Some(gpus);
        spec
    }

    #[test]
    fn cards_are_dealt_out_by_rank() {
        let of = |gpus, visible, installed| {
            devices("test", &spec(2, gpus), visible, installed).map(Option::unwrap)
        };
        let named = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(of(Gpus::Count(2), None, 4).unwrap(), ["0,1", "2,3"]);
        assert_eq!(of(Gpus::Count(1), None, 0).unwrap(), ["0", "1"]);
        assert_eq!(of(Gpus::Count(0), None, 0).unwrap(), ["", ""]);
        assert_eq!(of(Gpus::Count(1), Some("5, GPU-a"), 8).unwrap(), ["5", "GPU-a"]);
        assert_eq!(of(Gpus::Devices(named(&["3", "1"])), Some("9"), 0).unwrap(), ["3", "1"]);
        for (visible, installed) in [(None, 1), (Some("7"), 8), (Some(""), 8)] {
            let error = of(Gpus::Count(1), visible, installed).unwrap_err().to_string();
            assert!(error.contains("this host has"), "{error}");
        }
        let typed = of(Gpus::Typed("A100:2".parse().unwrap()), None, 8).unwrap_err().to_string();
        let remedy =
            "gpus is A100:2: the launcher test can't choose graphics cards by type: give a number";
        assert!(typed.starts_with(remedy), "{typed}");
        let mut both = spec(1, Gpus::Count(1));
        both.env.insert(VISIBLE.to_owned(), "0".to_owned());
        assert!(devices("test", &both, None, 1).unwrap_err().to_string().contains(VISIBLE));
        assert_eq!(devices("test", &LaunchSpec::new("job", 1, "true"), None, 1).unwrap(), None);
    }

    #[test]
    fn cards_that_are_asked_for_are_named_in_rank_order() {
        let devices = Gpus::Devices(vec!["3".to_owned(), "GPU-a".to_owned()]);
        assert_eq!(choose("test", &spec(2, devices.clone())).unwrap(), Some(devices));
        assert_eq!(choose("test", &spec(2, Gpus::Count(0))).unwrap(), Some(Gpus::Count(0)));
        assert_eq!(choose("test", &LaunchSpec::new("job", 1, "true")).unwrap(), None);
    }
}
