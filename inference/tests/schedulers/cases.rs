//! The committed cases (`vectors/schedulers/CLASS.json`, made by `tools/vectors/schedulers.py`; its
//! `about` explains the fields): a folder's config with overrides, a run, and what runs are fed.

use std::path::{Path, PathBuf};

use hearth_inference::noise::{Draw, NoiseStream, Stretch};
use hearth_inference::schedulers::{
    Error, Run, Schedule, Scheduler, SchedulerConfig, SchedulerSpec, build,
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Of a sample's greatest magnitude.
pub(crate) const STEP_TOLERANCE: f32 = 1e-4;

/// Where the committed cases are.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/schedulers")
}

#[derive(Deserialize)]
pub(crate) struct Vectors {
    pub(crate) class: String,
    pub(crate) sources: Map<String, Value>,
    pub(crate) rejected: Vec<Case>,
    pub(crate) cases: Vec<Case>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) overrides: Map<String, Value>,
    pub(crate) steps: usize,
    #[serde(default)]
    pub(crate) begin: usize,
    #[serde(default)]
    pub(crate) eta: f32,
    pub(crate) seed: Option<u64>,
    pub(crate) error: Option<String>,
    #[serde(default)]
    pub(crate) run: Lists,
    #[serde(default)]
    pub(crate) timesteps: Vec<f32>,
    #[serde(default)]
    pub(crate) sigmas: Vec<f32>,
    #[serde(default)]
    pub(crate) init_noise_sigma: f32,
    #[serde(default)]
    pub(crate) noisy_at: usize,
    #[serde(default)]
    pub(crate) noisy: Vec<f32>,
    pub(crate) scale: Option<Vec<f32>>,
    #[serde(default)]
    pub(crate) draws: String,
    #[serde(default)]
    pub(crate) stretches: Vec<[f32; 4]>,
    #[serde(default)]
    pub(crate) samples: Vec<Vec<f32>>,
}

#[derive(Deserialize, Default)]
pub(crate) struct Lists {
    pub(crate) timesteps: Option<Vec<f64>>,
    pub(crate) sigmas: Option<Vec<f64>>,
    pub(crate) mu: Option<f64>,
    pub(crate) original_inference_steps: Option<usize>,
    pub(crate) strength: Option<f64>,
}

/// What every run is fed.
#[derive(Deserialize)]
pub(crate) struct Bank {
    pub(crate) outputs: Vec<Vec<f32>>,
    pub(crate) noise: Vec<Vec<f32>>,
    pub(crate) variances: Vec<Vec<f32>>,
}

impl Bank {
    pub(crate) fn read() -> Self {
        serde_json::from_str(include_str!("../vectors/schedulers/bank.json")).unwrap()
    }
}

impl Vectors {
    /// As diffusers: the overrides are in the config file.
    pub(crate) fn build_from_file(&self, case: &Case) -> Result<Scheduler, Error> {
        let (config, spec) = self.choice(case)?;
        build(&config, Some(&spec), &case.run())
    }

    /// What a case's scheduler is built from.
    pub(crate) fn choice(&self, case: &Case) -> Result<(SchedulerConfig, SchedulerSpec), Error> {
        let mut config = self.sources[&case.source].as_object().unwrap().clone();
        config.extend(case.overrides.clone());
        let config = SchedulerConfig::parse(&Value::from(config).to_string())?;
        Ok((config, SchedulerSpec::parse(&self.class)?))
    }

    /// As a caller: the overrides are in the `--scheduler` value.
    pub(crate) fn build_with_overrides(&self, case: &Case) -> Result<Scheduler, Error> {
        let config = SchedulerConfig::parse(&self.sources[&case.source].to_string())?;
        let overrides: Vec<_> = case.overrides.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let text = format!("{}:{}", self.class, overrides.join(",").replace('"', ""));
        build(&config, Some(&SchedulerSpec::parse(&text)?), &case.run())
    }
}

impl Case {
    /// The call that the case begins with.
    pub(crate) fn begin(&self, schedule: &Schedule) -> usize {
        (self.begin * schedule.order()).min(schedule.timesteps().len() - 1)
    }

    /// The model's output of the run's call number `index`.
    pub(crate) fn output(&self, bank: &Bank, schedule: &Schedule, index: usize) -> Vec<f32> {
        let mut output = bank.outputs[(index + 1) % bank.outputs.len()].clone();
        if schedule.takes_variance() {
            output.extend_from_slice(&bank.variances[index % bank.outputs.len()]);
        }
        output
    }

    pub(crate) fn run(&self) -> Run {
        let Lists { timesteps, sigmas, mu, original_inference_steps, strength } = &self.run;
        Run {
            steps: self.steps,
            timesteps: timesteps.clone(),
            sigmas: sigmas.clone(),
            mu: *mu,
            eta: self.eta,
            original_inference_steps: *original_inference_steps,
            strength: strength.unwrap_or(1.0),
        }
    }
}

/// The bank's noise, or a seed's own.
pub(crate) struct Noise<'a> {
    case: &'a Case,
    bank: &'a Bank,
    stream: Option<NoiseStream>,
    drawn: usize,
}

impl<'a> Noise<'a> {
    pub(crate) fn new(case: &'a Case, bank: &'a Bank) -> Self {
        Self { case, bank, stream: case.seed.map(NoiseStream::new), drawn: 0 }
    }

    pub(crate) fn first_sample(&mut self, scale: f32) -> Vec<f32> {
        let mut sample = self.bank.outputs[0].clone();
        if let Some(stream) = &mut self.stream {
            stream.fill_normal(&mut sample);
        }
        sample.iter_mut().for_each(|x| *x *= scale);
        sample
    }

    pub(crate) fn draw(
        &mut self,
        draw: Option<Draw>,
        index: usize,
    ) -> Result<Option<Vec<f32>>, String> {
        let expected = self.case.draws.as_bytes().get(index).is_some_and(|mark| *mark == b'1');
        if draw.is_some() != expected {
            return Err(format!("call {index} draws: {draw:?}, should be {expected}"));
        }
        let Some(draw) = draw else { return Ok(None) };
        if let Draw::Brownian(Stretch { least, most, from, to, .. }) = draw {
            let stretch = self.case.stretches[self.drawn];
            close(&[least, most, from, to], &stretch, STEP_TOLERANCE, "stretch")?;
        }
        let mut noise = self.bank.noise[self.drawn % self.bank.noise.len()].clone();
        self.drawn += 1;
        if let Some(stream) = &mut self.stream {
            stream.fill(draw, &mut noise);
        }
        Ok(Some(noise))
    }
}

pub(crate) fn close(
    ours: &[f32],
    theirs: &[f32],
    tolerance: f32,
    what: &str,
) -> Result<(), String> {
    let largest = theirs.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
    let apart = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if ours.len() == theirs.len() && apart <= tolerance * largest {
        return Ok(());
    }
    Err(format!("{what}: {apart} apart, largest is {largest}"))
}
