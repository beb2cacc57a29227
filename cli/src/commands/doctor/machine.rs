//! What this machine has: programs, model, library, device, socket buffers, clock.

use std::fs::{self, File};
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hearth_fabric::quic::{WANTED_BUFFER, bind_socket};

use super::finding::Finding;
use crate::environment::Environment;
use crate::local;
use crate::output::text;

/// Oldest minor version of ONNX Runtime 1 that workers take.
const OLDEST: u32 = 24;
/// Linux builds from this minor version on carry an uploader of usage data.
const UPLOADING: u32 = 29;

pub(super) fn check(env: &Environment) -> Vec<Finding> {
    vec![programs(env), model(env), library(env), device(env), buffers(), clock(env)]
}

fn programs(env: &Environment) -> Finding {
    let found = [local::WORKER, local::COORDINATOR].map(|name| local::program(name, env));
    match found {
        [Ok(worker), Ok(_)] => {
            let dir = worker.parent().unwrap_or(Path::new(".")).display();
            Finding::ok(
                "programs",
                format!("{} and {} in {dir}", local::WORKER, local::COORDINATOR),
            )
        }
        [Err(_), Err(_)] => Finding::wrong(
            "programs",
            format!("neither {} nor {} is found", local::WORKER, local::COORDINATOR),
            "install them beside hearth, or build them: cargo build",
        ),
        [Err(_), _] => missing(local::WORKER),
        [_, Err(_)] => missing(local::COORDINATOR),
    }
}

fn missing(name: &str) -> Finding {
    let remedy = format!("install {name} beside hearth, or build it: cargo build -p {name}");
    Finding::wrong("programs", format!("{name} is not found"), remedy)
}

fn model(env: &Environment) -> Finding {
    match local::bundled_model(env) {
        Ok(model) => Finding::ok("model", format!("{} in {}", model.name, model.dir.display())),
        Err(_) => Finding::warning(
            "model",
            "the bundled model is not with this installation",
            "name a folder: hearth up --model DIR",
        ),
    }
}

fn library(env: &Environment) -> Finding {
    const CHECK: &str = "library";
    let named = env.runtime_library.clone().filter(|path| path != Path::new("auto"));
    let found = match named {
        Some(path) => Some(path),
        None => local::libraries(env).into_iter().next(),
    };
    let Some(path) = found else {
        return Finding::wrong(
            CHECK,
            "no libonnxruntime.so where workers look for it",
            "in a source tree: scripts/onnxruntime.sh; elsewhere put ONNX Runtime 1.28's \
             libonnxruntime.so into /usr/local/lib, or name it in [runtime] library",
        );
    };
    let shown = path.display();
    if let Err(reason) = check_elf(&path) {
        let remedy = "bring it anew: scripts/onnxruntime.sh, or the wheel onnxruntime==1.28.0";
        return Finding::wrong(CHECK, format!("{shown}: {reason}"), remedy);
    }
    match minor_version(&path) {
        Some(minor) if minor < OLDEST => Finding::wrong(
            CHECK,
            format!("{shown} is older than 1.{OLDEST}"),
            "bring 1.28.0: scripts/onnxruntime.sh",
        ),
        Some(minor) if minor >= UPLOADING => Finding::warning(
            CHECK,
            format!("{shown} is a build that uploads usage data"),
            "set ORT_DISABLE_TELEMETRY=1 for the workers, or take 1.28.0",
        ),
        _ => Finding::ok(CHECK, shown.to_string()),
    }
}

/// A shared object that is whole: one that was cut short would crash the process that loads it.
fn check_elf(path: &Path) -> Result<(), String> {
    let mut header = [0_u8; 64];
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    file.read_exact(&mut header).map_err(|_| "it is cut short".to_owned())?;
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return Err("it is no 64-bit ELF library".to_owned());
    }
    let number = |at: usize, size: usize| {
        let bytes = header[at..at + size].iter().rev();
        bytes.fold(0_u64, |value, byte| value << 8 | u64::from(*byte))
    };
    // The section table is the file's last part: its place, its entries' size and their count.
    let end = number(0x28, 8).checked_add(number(0x3a, 2) * number(0x3c, 2));
    match end {
        Some(end) if end <= length => Ok(()),
        _ => Err("it is cut short".to_owned()),
    }
}

/// 28 of `libonnxruntime.so.1.28.0`, behind links.
fn minor_version(path: &Path) -> Option<u32> {
    let path = path.canonicalize().ok()?;
    let version = path.file_name()?.to_str()?.split_once(".so.1.")?.1;
    version.split('.').next()?.parse().ok()
}

fn device(env: &Environment) -> Finding {
    const CHECK: &str = "device";
    let cpu = format!("cpu, {} cores", env.cores);
    let gpus = nvidia_gpus();
    if gpus == 0 {
        return Finding::ok(CHECK, cpu);
    }
    let found = format!("{cpu}; {gpus} NVIDIA GPU (cuda:0 …)");
    let provider = "libonnxruntime_providers_cuda.so";
    let libraries = local::libraries(env);
    let with_cuda =
        libraries.first().and_then(|p| p.parent()).is_some_and(|dir| dir.join(provider).is_file());
    if with_cuda {
        return Finding::ok(CHECK, found);
    }
    Finding::warning(
        CHECK,
        format!("{found}, but a library for the CPU alone"),
        format!(
            "for --device cuda:0 take the wheel onnxruntime-gpu: {provider} stands beside the library"
        ),
    )
}

fn nvidia_gpus() -> usize {
    let Ok(entries) = fs::read_dir("/dev") else { return 0 };
    let is_gpu = |name: &str| {
        name.strip_prefix("nvidia")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_gpu)).count()
}

fn buffers() -> Finding {
    const CHECK: &str = "udp buffers";
    let wanted = text::bytes(WANTED_BUFFER as u64);
    // What a worker's socket gets here, seen on one that is bound for the time of the look.
    let granted = match bind_socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) {
        Ok((_, granted)) => granted,
        Err(error) => {
            return Finding::wrong(CHECK, error.to_string(), "check that UDP sockets are allowed");
        }
    };
    let got = [granted.receive, granted.send].map(|size| text::bytes(size as u64));
    let found = format!("{} to receive, {} to send, of {wanted}", got[0], got[1]);
    if granted.receive.min(granted.send) >= WANTED_BUFFER {
        return Finding::ok(CHECK, found);
    }
    Finding::warning(
        CHECK,
        found,
        format!(
            "large replies are slower than they could be. As root: sysctl -w \
             net.core.rmem_max={WANTED_BUFFER} net.core.wmem_max={WANTED_BUFFER}; to keep it, put \
             both into /etc/sysctl.d/hearth.conf"
        ),
    )
}

fn clock(env: &Environment) -> Finding {
    const CHECK: &str = "clock";
    let now = SystemTime::now();
    let built = env.executable.as_ref().and_then(|path| fs::metadata(path).ok()?.modified().ok());
    let found = text::instant(now);
    match built {
        Some(built) if built > now + Duration::from_secs(60) => Finding::wrong(
            CHECK,
            format!("{found} is before this program was made"),
            "set the clock, and keep it: certificates are valid between two times (systemctl \
             enable --now systemd-timesyncd)",
        ),
        _ => Finding::ok(CHECK, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_cut_short_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let whole = fs::read(std::env::current_exe().unwrap()).unwrap();
        let path = folder.path().join("libonnxruntime.so.1.28.0");
        fs::write(&path, &whole).unwrap();
        assert_eq!(check_elf(&path), Ok(()));
        assert_eq!(minor_version(&path), Some(28));
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(check_elf(&path).unwrap_err().contains("cut short"));
        fs::write(&path, vec![b'x'; 200]).unwrap();
        assert!(check_elf(&path).unwrap_err().contains("ELF"));
    }
}
