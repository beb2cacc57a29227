//! Whether a model has the adapters that a request asks for.

use hearth_api::nearest;
use hearth_api::request::Lora;

use crate::diffusion::quoted::quoted;
use crate::diffusion::rules::Rules;
use crate::model::Invalid;

/// Strengths beyond this, either way, are mistakes: adapters are trained at 1, and those made to be
/// turned far go to 10 or so.
const MAX_SCALE: f64 = 100.0;

impl Rules {
    /// Checks names and strengths of adapters.
    pub(super) fn check_lora(&self, lora: &[Lora]) -> Result<(), Invalid> {
        for (index, Lora { name, scale }) in lora.iter().enumerate() {
            let refused = |message: String| Err(Invalid::new("lora", &quoted(name), message));
            if self.pictures.lora.is_empty() {
                let message = "this model has no adapters; leave it out, or export the model with \
                               them (docs/model-folders.md)";
                return refused(message.to_owned());
            }
            if !self.pictures.lora.contains(name) {
                let nearest = nearest(name, self.pictures.lora.iter().map(String::as_str));
                let nearest = nearest.map(|name| format!(" (nearest: {name})")).unwrap_or_default();
                let known = self.pictures.lora.join(", ");
                return refused(format!("no adapter of this model{nearest}; it has {known}"));
            }
            if lora[..index].iter().any(|before| before.name == *name) {
                return refused("is given twice; give it once".to_owned());
            }
            if !(-MAX_SCALE..=MAX_SCALE).contains(scale) {
                let message = format!("give a scale from -{MAX_SCALE} to {MAX_SCALE}");
                return Err(Invalid::new("lora", &format!("{name}={scale}"), message));
            }
        }
        Ok(())
    }
}

/// What to say of an adapter that stands in the prompt, as image tools have it: here it is words.
pub(in crate::diffusion) fn unread(prompt: &str) -> Option<String> {
    let (_, rest) = prompt.split_once("<lora:")?;
    let (tag, _) = rest.split_once('>')?;
    Some(format!(
        "prompt: {} is read as words; give adapters by the field lora",
        quoted(&format!("<lora:{tag}>"))
    ))
}

#[cfg(test)]
mod tests {
    use super::unread;

    #[test]
    fn a_tag_in_the_prompt_is_noticed() {
        let warning = unread("a heart <lora:ink:0.5>, red").unwrap();
        assert!(warning.contains("\"<lora:ink:0.5>\" is read as words"), "{warning}");
        assert_eq!(unread("a <heart>, lora:ink"), None);
        assert_eq!(unread("a heart <lora:ink"), None);
    }
}
