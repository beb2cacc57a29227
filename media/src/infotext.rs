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
    /// Last layers of the text encoder that were left out; web UIs count from one.
    pub clip_skip: u32,
    /// Whether brackets in prompts are weights. Web UIs take them for such unless told otherwise.
    pub prompt_weights: bool,
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
            "Steps: {}, Sampler: {}, CFG scale: {}, Seed: {}, Size: {}x{}, Model: {}, ",
            self.steps,
            QuotedValue(self.sampler),
            self.guidance_scale,
            self.seed,
            self.width,
            self.height,
            QuotedValue(self.model),
        )?;
        if self.clip_skip > 0 {
            write!(f, "Clip skip: {}, ", u64::from(self.clip_skip) + 1)?;
        }
        let brackets = |text: &str| text.contains(['(', '[']);
        if !self.prompt_weights && (brackets(self.prompt) || brackets(self.negative_prompt)) {
            write!(f, "Emphasis: None, ")?;
        }
        write!(f, "Version: {}", QuotedValue(self.version))
    }
}

/// A value as the web UI quotes it: as a JSON string where it holds `,`, `:` or a line break.
struct QuotedValue<'a>(&'a str);

impl fmt::Display for QuotedValue<'_> {
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
            clip_skip: 0,
            prompt_weights: false,
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
        info.clip_skip = 1;
        assert!(info.to_string().contains(", Clip skip: 2, Version: "), "{info}");
    }

    #[test]
    fn letters_that_tools_would_take_for_weights_are_said_to_be_none() {
        let mut info = Infotext {
            prompt: "red (heart)",
            lora: &[],
            negative_prompt: "",
            steps: 1,
            sampler: "s",
            guidance_scale: 1.0,
            clip_skip: 0,
            prompt_weights: false,
            seed: 0,
            width: 8,
            height: 8,
            model: "m",
            version: "v",
        };
        assert!(info.to_string().ends_with("Model: m, Emphasis: None, Version: v"), "{info}");
        info.prompt_weights = true;
        assert!(info.to_string().ends_with("Model: m, Version: v"), "{info}");
    }
}
