//! Values of flags, parsed once, with messages that say what would be right.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// A picture's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(['x', 'X', '×']);
        let parsed = parts.and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        match parsed {
            Some((width, height)) if width > 0 && height > 0 => Ok(Self { width, height }),
            _ => Err("a size is WIDTHxHEIGHT in pixels, as in 512x512".to_owned()),
        }
    }
}

/// A model's folder, and its name where one is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ModelSource {
    pub(crate) name: Option<String>,
    pub(crate) dir: PathBuf,
}

impl FromStr for ModelSource {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        // A folder whose path has an equals sign is given as ./PATH.
        let (name, dir) = match text.split_once('=') {
            Some((name, dir)) if !name.contains('/') => (Some(name), dir),
            _ => (None, text),
        };
        if name.is_some_and(|name| !is_name(name)) || dir.is_empty() {
            return Err(
                "a model is DIR or NAME=DIR, with letters, digits, '-', '_' and '.' in its name"
                    .to_owned(),
            );
        }
        Ok(Self { name: name.map(str::to_owned), dir: PathBuf::from(dir) })
    }
}

pub(crate) fn is_name(text: &str) -> bool {
    let clean = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(clean)
}

/// Where the coordinator listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Http {
    Off,
    On(SocketAddr),
}

impl FromStr for Http {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let text = text.replacen("localhost:", "127.0.0.1:", 1);
        let address = text.parse().map_err(|_| "give ADDRESS:PORT, as in 127.0.0.1:8000, or off");
        Ok(Self::On(address?))
    }
}

/// `cpu` or `cuda:I`.
pub(crate) fn device(text: &str) -> Result<String, String> {
    let cuda = text.strip_prefix("cuda:").is_some_and(|index| index.parse::<u8>().is_ok());
    if text == "cpu" || cuda {
        return Ok(text.to_owned());
    }
    Err("known devices are cpu and cuda:I, as in cuda:0".to_owned())
}

/// `90s`, `10m`, `1h30m`; not zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration >= Duration::from_millis(1) => Ok(duration),
        Ok(_) => Err("it is zero: give the time that it may take, as in 90s".to_owned()),
        Err(_) => Err("a duration is a number with its unit, as in 90s, 10m or 1h30m".to_owned()),
    }
}

/// A whole number.
pub(crate) fn whole(text: &str) -> Result<u32, String> {
    let most = u32::MAX;
    text.parse().map_err(|_| format!("give a whole number, 0 to {most}"))
}

/// A seed.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    let most = u64::MAX;
    text.parse().map_err(|_| format!("give a whole number, 0 to {most}; left out, one is drawn"))
}

/// A finite number.
pub(crate) fn finite(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(number),
        _ => Err("give a finite number, as in 7.5".to_owned()),
    }
}

/// Numbers with commas between them. A type of its own: a plain list is a flag given many times.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Numbers(pub(crate) Vec<f64>);

impl FromStr for Numbers {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<_, _> = text.split(',').map(|number| finite(number.trim())).collect();
        numbers
            .map(Self)
            .map_err(|_| "give numbers with commas between, as in 14.6,3,0.5".to_owned())
    }
}

/// `TOP,LEFT` in pixels.
pub(crate) fn corner(text: &str) -> Result<[u32; 2], String> {
    pair(text).ok_or_else(|| "a corner is TOP,LEFT in pixels, as in 0,64".to_owned())
}

/// `FROM,TO` as shares of a run.
pub(crate) fn shares(text: &str) -> Result<[f64; 2], String> {
    pair(text)
        .ok_or_else(|| "an interval is FROM,TO in shares of the run, as in 0.2,0.8".to_owned())
}

/// Two numbers with a comma between them.
fn pair<T: FromStr>(text: &str) -> Option<[T; 2]> {
    let (first, second) = text.split_once(',')?;
    Some([first.trim().parse().ok()?, second.trim().parse().ok()?])
}

/// `KEY=VALUE`, the key not empty.
pub(crate) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => {
            Ok((key.trim().to_owned(), value.to_owned()))
        }
        _ => Err("give a name, an equals sign and a value, as in clip_skip=1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("512x64".parse(), Ok(Size { width: 512, height: 64 }));
        for bad in ["512", "0x64", "x", "512x", "-1x5", "5000000000x1"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
    }

    #[test]
    fn models_with_and_without_a_name() {
        let model = |text: &str| text.parse::<ModelSource>().unwrap();
        assert_eq!(model("./sd15").name, None);
        assert_eq!(model("small=/srv/sd15").name.as_deref(), Some("small"));
        assert_eq!(model("./a=b").dir, PathBuf::from("./a=b"));
        for bad in ["", "x=", "=dir", "a b=dir"] {
            assert!(bad.parse::<ModelSource>().is_err(), "{bad}");
        }
    }

    #[test]
    fn devices_and_durations() {
        assert!(device("cpu").is_ok() && device("cuda:1").is_ok());
        assert!(device("cuda").is_err() && device("cuda:x").is_err());
        assert_eq!(positive_duration("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in ["0s", "90", "-1s", "soon"] {
            assert!(positive_duration(bad).is_err(), "{bad}");
        }
        assert!(finite("NaN").is_err() && finite("inf").is_err());
        assert_eq!((whole("7"), seed("18446744073709551615")), (Ok(7), Ok(u64::MAX)));
        assert!(whole("1.5").is_err() && whole("-1").is_err() && seed("-1").is_err());
    }

    #[test]
    fn lists_corners_and_pairs() {
        assert_eq!("14.6, 3,0".parse(), Ok(Numbers(vec![14.6, 3.0, 0.0])));
        for bad in ["", "1,", "1,x", "NaN", "inf", "1 2"] {
            assert!(bad.parse::<Numbers>().is_err(), "{bad}");
        }
        assert_eq!(corner("0,64"), Ok([0, 64]));
        assert!(corner("-1,0").is_err() && corner("1").is_err());
        assert_eq!(key_value("a=b=c"), Ok(("a".to_owned(), "b=c".to_owned())));
        assert!(key_value("=1").is_err() && key_value("a").is_err());
    }

    #[test]
    fn http_addresses() {
        assert_eq!("off".parse(), Ok(Http::Off));
        assert_eq!("localhost:80".parse::<Http>(), "127.0.0.1:80".parse::<Http>());
        assert!("example.org:80".parse::<Http>().is_err());
    }
}
