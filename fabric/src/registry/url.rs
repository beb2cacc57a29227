//! The URL that names a registry.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use hearth_api::Group;

use super::Error;

/// Most addresses in one URL.
const MAX_ENDPOINTS: usize = 256;

/// Which registry, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryUrl {
    /// `etcd://HOST:PORT[,…][/GROUP]`, or `etcds://…` for TLS.
    Etcd {
        /// Whether TLS is spoken.
        tls: bool,
        /// `HOST:PORT` of each member.
        endpoints: Vec<String>,
        /// The group, where the URL names one.
        group: Option<Group>,
    },
    /// `dir:PATH`.
    Dir(PathBuf),
    /// `static:HOST:PORT[,…]`.
    Static(Vec<String>),
}

impl RegistryUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`Error::Url`] names the URL, what is wrong and the known forms.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let problem = |problem: String| Error::Url { url: redact(text), problem };
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(problem("it has no scheme".to_owned()));
        };
        match scheme {
            "etcd" | "etcds" => etcd(scheme == "etcds", rest).map_err(problem),
            "dir" if rest.is_empty() => Err(problem("it names no folder".to_owned())),
            "dir" => Ok(Self::Dir(PathBuf::from(rest))),
            "static" => endpoints(rest).map(Self::Static).map_err(problem),
            other => Err(problem(format!("scheme {other:?} is unknown"))),
        }
    }

    /// The group: the URL's, or `default`.
    #[must_use]
    pub fn group(&self) -> Group {
        match self {
            Self::Etcd { group: Some(group), .. } => group.clone(),
            _ => Group::default(),
        }
    }

    /// The same registry for a worker of `group`. `dir` and `static` know no groups.
    ///
    /// # Errors
    /// [`Error::Group`] if the URL names another group.
    pub fn in_group(self, group: &Group) -> Result<Self, Error> {
        match self {
            Self::Etcd { group: Some(registry), .. } if registry != *group => {
                Err(Error::Group { record: group.clone(), registry })
            }
            Self::Etcd { tls, endpoints, .. } => {
                Ok(Self::Etcd { tls, endpoints, group: Some(group.clone()) })
            }
            other => Ok(other),
        }
    }
}

/// The text without what stands where a user and a password would, up to the last `@`: it is shown and
/// logged.
fn redact(text: &str) -> String {
    let Some(at) = text.rfind('@') else { return text.to_owned() };
    let scheme = text[..at].find("//").map(|start| start + 2);
    let scheme = scheme.or(text[..at].find(':').map(|colon| colon + 1)).unwrap_or(0);
    format!("{}…{}", &text[..scheme], &text[at..])
}

fn etcd(tls: bool, rest: &str) -> Result<RegistryUrl, String> {
    let Some(rest) = rest.strip_prefix("//") else {
        return Err("\"//\" is missing after the scheme".to_owned());
    };
    if rest.contains('@') {
        return Err("it holds a user or a password, which belong elsewhere: the user into \
                    registry.user (or --etcd-user), the password into the file that \
                    registry.password_file (or HEARTH_ETCD_PASSWORD_FILE) names"
            .to_owned());
    }
    let (hosts, group) = match rest.split_once('/') {
        None | Some((_, "")) => (rest.trim_end_matches('/'), None),
        Some((hosts, group)) => (hosts, Some(Group::new(group).map_err(|e| e.to_string())?)),
    };
    Ok(RegistryUrl::Etcd { tls, endpoints: endpoints(hosts)?, group })
}

fn endpoints(text: &str) -> Result<Vec<String>, String> {
    let found: Vec<String> = text.split(',').map(endpoint).collect::<Result<_, _>>()?;
    if found.len() > MAX_ENDPOINTS {
        return Err(format!("{} addresses, at most {MAX_ENDPOINTS} are taken", found.len()));
    }
    Ok(found)
}

/// `HOST:PORT`, where HOST is a name, an IPv4 address or an IPv6 address in brackets.
fn endpoint(text: &str) -> Result<String, String> {
    let wrong = |why: &str| Err(format!("address {:?} {why}", redact(text)));
    let Some((host, port)) = text.rsplit_once(':') else { return wrong("has no port") };
    if !port.parse::<u16>().is_ok_and(|port| port != 0) || port.starts_with('+') {
        return wrong("has no port between 1 and 65535");
    }
    let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if let Some(inner) = inner {
        if inner.parse::<std::net::Ipv6Addr>().is_err() {
            return wrong("is no IPv6 address");
        }
        return Ok(text.to_owned());
    }
    let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if host.is_empty() || host.len() > 253 || !named {
        return wrong("has no valid host (an IPv6 address needs brackets)");
    }
    Ok(text.to_owned())
}

impl FromStr for RegistryUrl {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd { tls, endpoints, .. } => {
                let scheme = if *tls { "etcds" } else { "etcd" };
                write!(f, "{scheme}://{}/{}", endpoints.join(","), self.group())
            }
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Static(endpoints) => write!(f, "static:{}", endpoints.join(",")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms_are_read_and_written() {
        for (text, written) in [
            ("etcd://127.0.0.1:2379", "etcd://127.0.0.1:2379/default"),
            ("etcd://127.0.0.1:2379/", "etcd://127.0.0.1:2379/default"),
            ("etcd://a:1,b:2/blue", "etcd://a:1,b:2/blue"),
            ("etcds://[::1]:2379/gpu.pool", "etcds://[::1]:2379/gpu.pool"),
            ("dir:/run/hearth", "dir:/run/hearth"),
            ("static:10.0.0.1:7420,gpu-2.lan:7420", "static:10.0.0.1:7420,gpu-2.lan:7420"),
        ] {
            assert_eq!(RegistryUrl::parse(text).unwrap().to_string(), written, "{text}");
        }
    }

    #[test]
    fn others_are_refused_with_the_known_ones() {
        for bad in [
            "",
            "etcd",
            "consul://a:1",
            "etcd:a:1",
            "etcd://",
            "etcd://a",
            "etcd://a:0",
            "etcd://a:70000",
            "etcd://a:+1",
            "etcd://::1:2379",
            "etcd://a:1,/g",
            "etcd://a:1/b/c",
            "etcd://[::g]:1",
            "dir:",
            "static:",
            "static:a",
            "static:a:1,",
        ] {
            let error = RegistryUrl::parse(bad).unwrap_err().to_string();
            assert!(error.contains("dir:PATH") && error.contains(&format!("{bad:?}")), "{error}");
        }
    }

    #[test]
    fn a_password_is_never_repeated_and_its_place_is_named() {
        for bad in [
            "etcd://user:pa55@a:1",
            "etcds://user:pa55@a:1,b:2/group",
            "etcd://user:p/pa55@a:1",
            "etcd://user:p@pa55@a:1/g",
            "etcd:user:pa55@a:1",
            "etc://user:pa55@a:1",
            "static:user:pa55@a:1",
            "user:pa55@a:1",
        ] {
            let error = RegistryUrl::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("pa55"), "{error}");
        }
        let error = RegistryUrl::parse("etcd://user:pa55@a:1").unwrap_err().to_string();
        assert!(error.contains("\"etcd://…@a:1\""), "{error}");
        assert!(
            error.contains("registry.password_file") && error.contains("--etcd-user"),
            "{error}"
        );
    }

    #[test]
    fn a_worker_s_group_and_the_url_s_must_agree() {
        let blue = Group::new("blue").unwrap();
        let open = RegistryUrl::parse("etcd://a:1").unwrap().in_group(&blue).unwrap();
        assert_eq!(open.group(), blue);
        assert!(RegistryUrl::parse("etcd://a:1/red").unwrap().in_group(&blue).is_err());
    }
}
