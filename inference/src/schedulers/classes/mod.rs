//! The schedulers, a file for each class of diffusers: what it is called and takes, how a run is
//! laid out, and its rule.

pub(crate) mod consistency;
pub(crate) mod cosine;
pub(crate) mod ddim;
pub(crate) mod ddpm;
pub(crate) mod deis;
pub(crate) mod dpm_multistep;
pub(crate) mod dpm_sde;
pub(crate) mod dpm_singlestep;
pub(crate) mod edm_euler;
pub(crate) mod edm_multistep;
pub(crate) mod euler;
pub(crate) mod euler_ancestral;
pub(crate) mod flow_euler;
pub(crate) mod flow_heun;
pub(crate) mod heun;
pub(crate) mod kdpm2;
pub(crate) mod kdpm2_ancestral;
pub(crate) mod lcm;
pub(crate) mod lms;
pub(crate) mod pndm;
pub(crate) mod tcd;
pub(crate) mod unipc;
