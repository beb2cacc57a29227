//! Which graphs the pinned ONNX Runtime can run, as far as their files say it: the format's version, the
//! versions of the operators, and whether there is a kernel for each.
//!
//! The library knows more (which element types a kernel takes), and has the last word. The table is made
//! by `tools/operators.py`.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::header::{Header, Operator};
use super::{Device, Graph};
use crate::brief::{VALUE, brief};

/// The library that these are of: the one that `scripts/onnxruntime.sh` fetches.
const LIBRARY: &str = "ONNX Runtime 1.28";
/// The newest version of the file's format that it reads.
const IR_VERSION: u64 = 13;
/// The newest versions of the operators' sets that it has.
const OPSETS: [(&str, u64); 2] = [("", 26), ("ai.onnx.ml", 5)];
/// A line for each operator: its domain (`ai.onnx` for ONNX's own), its name, and the provider that has
/// a kernel for it: `cpu`, which others fall back to, or `cuda` alone.
const TABLE: &str = include_str!("kernels.txt");
/// Unknown operators that are named; of the others only how many there are.
const NAMED: usize = 4;

/// What is known of a graph before ONNX Runtime has seen it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Why it can't be run, and the remedy.
    pub problem: Option<String>,
    /// What may keep it from being run.
    pub warnings: Vec<String>,
}

/// Who has a kernel for an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Provider {
    Cpu,
    Cuda,
}

static KERNELS: LazyLock<HashMap<(&str, &str), Provider>> = LazyLock::new(|| {
    let line = |line: &'static str| {
        let mut words = line.split(' ');
        let (domain, name, provider) = (words.next()?, words.next()?, words.next()?);
        let domain = if domain == "ai.onnx" { "" } else { domain };
        let provider = if provider == "cuda" { Provider::Cuda } else { Provider::Cpu };
        Some(((domain, name), provider))
    };
    TABLE.lines().filter_map(line).collect()
});

/// Judges a graph by its file.
#[must_use]
pub fn judge(graph: &Graph) -> Judgement {
    judge_header(graph.name(), &graph.files().header, graph.device())
}

fn judge_header(graph: &str, header: &Header, device: Device) -> Judgement {
    let problem = too_new(header).or_else(|| without_kernel(header, device));
    let unknown: Vec<_> = header.operators.iter().filter(|own| provider(own).is_none()).collect();
    let mut warnings = Vec::new();
    if problem.is_none() && !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().take(NAMED).map(|own| shown(own)).collect();
        let more = match unknown.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        warnings.push(format!(
            "{graph}: {}{more} is unknown: {LIBRARY} may have no such operator, and refuse the graph",
            names.join(", ")
        ));
    }
    Judgement { problem, warnings }
}

/// What a newer version than the library's is refused with.
fn too_new(header: &Header) -> Option<String> {
    if header.ir_version > IR_VERSION {
        return Some(format!(
            "it is of IR version {}, and {LIBRARY} reads up to {IR_VERSION}; save it again with \
             model.ir_version = {IR_VERSION}, or export it with an older onnx",
            header.ir_version
        ));
    }
    OPSETS.into_iter().find_map(|(domain, newest)| {
        let own = header.opsets.get(domain).copied().filter(|own| *own > newest)?;
        let domain = if domain.is_empty() { "ai.onnx" } else { domain };
        Some(format!(
            "its operators are those of {domain} {own}, and {LIBRARY} has up to {newest}; export it \
             with --opset {newest} or less"
        ))
    })
}

/// What an operator is refused with that the device has no kernel for.
fn without_kernel(header: &Header, device: Device) -> Option<String> {
    let foreign = |own: &&Operator| !KERNELS.keys().any(|(domain, _)| *domain == own.domain);
    if let Some(own) = header.operators.iter().find(foreign) {
        let own = shown(own);
        return Some(format!(
            "it has {own}, of a domain that {LIBRARY} doesn't know; export it without custom operators"
        ));
    }
    let lacks = |own: &&Operator| device == Device::Cpu && provider(own) == Some(Provider::Cuda);
    let own = shown(header.operators.iter().find(lacks)?);
    Some(format!(
        "it has {own}, for which {LIBRARY} has a kernel on GPUs alone; run it on a worker with device = \
         \"cuda:0\", or export it without optimisations for GPUs"
    ))
}

fn provider(own: &Operator) -> Option<Provider> {
    KERNELS.get(&(own.domain.as_str(), own.name.as_str())).copied()
}

/// An operator as it stands in messages.
fn shown(own: &Operator) -> String {
    let name = brief(own.name.clone(), VALUE);
    match own.domain.as_str() {
        "" => format!("the operator {name}"),
        domain => format!("the operator {name} of {}", brief(domain.to_owned(), VALUE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(operators: &[(&str, &str)]) -> Header {
        let operator = |(domain, name): &(&str, &str)| Operator {
            domain: (*domain).to_owned(),
            name: (*name).to_owned(),
        };
        Header { operators: operators.iter().map(operator).collect(), ..Header::default() }
    }

    #[test]
    fn operators_are_judged_by_who_has_a_kernel_for_them() {
        let known = header(&[("", "Conv"), ("", "LayerNormalization"), ("com.microsoft", "Gelu")]);
        assert_eq!(judge_header("unet", &known, Device::Cpu), Judgement::default());
        let gpu = header(&[("", "Conv"), ("com.microsoft", "NhwcConv")]);
        let refused = judge_header("unet", &gpu, Device::Cpu).problem.unwrap();
        assert!(
            refused.contains("NhwcConv of com.microsoft") && refused.contains("cuda:0"),
            "{refused}"
        );
        assert_eq!(judge_header("unet", &gpu, Device::Cuda(0)), Judgement::default());
        let custom = header(&[("my.domain", "Swirl")]);
        let refused = judge_header("unet", &custom, Device::Cuda(0)).problem.unwrap();
        assert!(refused.contains("Swirl of my.domain, of a domain that"), "{refused}");
        let unknown = judge_header("unet", &header(&[("", "Swirl")]), Device::Cpu);
        assert_eq!(unknown.problem, None);
        assert!(unknown.warnings[0].starts_with("unet: the operator Swirl is unknown: ONNX"));
    }

    #[test]
    fn versions_beyond_the_librarys_are_refused() {
        let opset = |version| Header {
            opsets: [(String::new(), version)].into(),
            ir_version: 10,
            ..Header::default()
        };
        assert_eq!(judge_header("unet", &opset(26), Device::Cpu), Judgement::default());
        let refused = judge_header("unet", &opset(27), Device::Cpu).problem.unwrap();
        assert!(refused.contains("ai.onnx 27, and ONNX Runtime 1.28 has up to 26"), "{refused}");
        let format = Header { ir_version: 14, ..Header::default() };
        let refused = judge_header("unet", &format, Device::Cpu).problem.unwrap();
        assert!(
            refused.contains("IR version 14, and ONNX Runtime 1.28 reads up to 13"),
            "{refused}"
        );
    }
}
