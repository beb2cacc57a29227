//! Each built-in method as a type, which ties its name to its arguments and its value.
//!
//! A caller names the type, as in `engine.call::<call::Stats>(…)`, and has the rest checked by the
//! compiler. A method with bulk parts has those beside its arguments and its value.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Method;

/// A built-in method: its name, what it takes and what it gives.
pub trait Call {
    /// The method.
    const METHOD: Method;
    /// Its arguments.
    type Args: Serialize + Send;
    /// Its value.
    type Value: DeserializeOwned + Send;
}

/// The arguments of a method that takes none: an empty map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoArgs {}

macro_rules! calls {
    ($($name:ident($args:ty) -> $value:ty;)*) => {$(
        #[doc = concat!("[`Method::", stringify!($name), "`].")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {}

        impl Call for $name {
            const METHOD: Method = Method::$name;
            type Args = $args;
            type Value = $value;
        }
    )*};
}

calls! {
    GetRank(NoArgs) -> super::GetRank;
    CheckHealth(NoArgs) -> super::Health;
    Stats(NoArgs) -> super::Stats;
    ListModels(NoArgs) -> super::ModelList;
    ListRequests(NoArgs) -> super::RequestList;
    Logs(super::LogsArgs) -> super::LogsValue;
    Generate(super::GenerateArgs) -> super::GenerateValue;
    Attach(super::AttachArgs) -> super::AttachValue;
    Infer(super::InferArgs) -> super::InferValue;
    Cancel(super::CancelArgs) -> super::CancelValue;
    Drain(NoArgs) -> super::DrainValue;
    Resume(NoArgs) -> super::DrainValue;
    Sleep(super::SleepArgs) -> super::SleepValue;
    WakeUp(super::WakeArgs) -> super::WakeValue;
    LoadModel(super::LoadModelArgs) -> super::LoadModelValue;
    UnloadModel(super::UnloadModelArgs) -> super::UnloadModelValue;
    Profile(super::ProfileArgs) -> super::ProfileValue;
    Shutdown(NoArgs) -> super::DrainValue;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec;

    #[test]
    fn no_arguments_are_an_empty_map() {
        assert_eq!(codec::encode(&NoArgs {}).unwrap(), codec::EMPTY);
        assert_eq!(Stats::METHOD.name(), "stats");
    }
}
