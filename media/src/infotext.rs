//! The infotext that image tools read from a PNG's `parameters` chunk.
//!
//! The layout is that of AUTOMATIC1111's web UI: the prompt, a `Negative prompt:` line if there is
//! one, then one line of `Key: value` pairs, the first of which is `Steps`.

use std::fmt;

/// What the infotext says. [`Display`](fmt::Display) writes it.
#[derive(Debug, Clone, Copy)]
pub struct Infotext<'a> {
    /// The prompt.
    pub prompt: &'a str,
    /// LoRA adapters and their scales, which the web UI has in the prompt.
    pub lora: &'a [(&'a str, f64)],
    /// The negative prompt, empty for none.
    pub negative_prompt: &'a str,
    /// Number of inference steps.
    pub steps: u32,
    /// Name of the scheduler ("Sampler" to image tools).
    pub sampler: &'a str,
    /// Guidance scale.
    pub guidance_scale: f32,
    /// This picture's own seed.
    pub seed: u64,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Name of the model.
    pub model: &'a str,
    /// Program and version that made it.
    pub version: &'a str,
}

impl fmt::Display for Infotext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.prompt)?;
        for (name, scale) in self.lora {
            write!(f, " <lora:{name}:{scale}>")?;
        }
        writeln!(f)?;
        if !self.negative_prompt.is_empty() {
            writeln!(f, "Negative prompt: {}", self.negative_prompt)?;
        }
        write!(
            f,
            "Steps: {}, Sampler: {}, CFG scale: {}, Seed: {}, Size: {}x{}, Model: {}, Version: {}",
            self.steps,
            Quoted(self.sampler),
            self.guidance_scale,
            self.seed,
            self.width,
            self.height,
            Quoted(self.model),
            Quoted(self.version),
        )
    }
}

/// A value as the web UI quotes it: as a JSON string where it holds `,`, `:` or a line break.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.contains([',', ':', '\n']) {
            write!(f, "{:?}", self.0)
        } else {
            f.write_str(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_laid_out_as_tools_expect() {
        let mut info = Infotext {
            prompt: "red heart",
            lora: &[],
            negative_prompt: "blue",
            steps: 20,
            sampler: "EulerDiscreteScheduler",
            guidance_scale: 7.5,
            seed: 42,
            width: 64,
            height: 32,
            model: "emoji",
            version: "Hearth 0.1.0",
        };
        assert_eq!(
            info.to_string(),
            "red heart\nNegative prompt: blue\nSteps: 20, Sampler: EulerDiscreteScheduler, \
             CFG scale: 7.5, Seed: 42, Size: 64x32, Model: emoji, Version: Hearth 0.1.0"
        );
        info.negative_prompt = "";
        info.model = "a, b";
        info.lora = &[("ink", 0.5), ("glow", -1.0)];
        let start = "red heart <lora:ink:0.5> <lora:glow:-1>\nSteps: 20";
        assert!(info.to_string().starts_with(start), "{info}");
        assert!(info.to_string().contains("Model: \"a, b\""));
    }
}
