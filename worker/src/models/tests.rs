//! The rules of the list of models.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use hearth_api::{CallError, ErrorKind};
use hearth_inference::progress::Progress;
use hearth_protocol::methods::ModelState;

use super::list::{LONGEST_PAUSE, MOST};
use super::*;

fn model(name: &str, residency: Residency) -> Model {
    let (name, aliases) = (name.to_owned(), vec![format!("{name}-alias")]);
    let path = PathBuf::from("/m").join(&name);
    Model { name, aliases, path, configured: true, failures: 0, residency }
}

fn failed() -> CallError {
    CallError::new(ErrorKind::ModelFailed, "the folder is gone")
}

#[test]
fn a_failed_model_is_listed_with_its_reason_and_tried_again_later_and_later() {
    let mut models = Models::new(vec![model("a", Residency::OnDemand)]);
    let start = Instant::now();
    assert!(models.resolve(Some("a"), start).is_ok());
    let mut pauses = Vec::new();
    for _ in 0..12 {
        models.set("a", Residency::Loading(Progress::default()));
        models.set_failed("a", failed(), start);
        let Some(Residency::Failed { again_at, .. }) =
            models.get("a").map(|model| &model.residency)
        else {
            panic!("it has failed");
        };
        pauses.push((*again_at - start).as_secs());
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
    let error = models.resolve(Some("a"), start).unwrap_err();
    assert_eq!((error.kind, error.retryable), (ErrorKind::ModelFailed, true));
    assert!(models.resolve(Some("a-alias"), start + LONGEST_PAUSE).is_ok(), "time for a try");
    let listed = models.list().remove(0);
    assert_eq!(listed.state, ModelState::Failed);
    assert!(listed.reason.unwrap().contains("the folder is gone"));
}

#[test]
fn an_unloaded_model_is_not_served_and_comes_back() {
    let mut models =
        Models::new(vec![model("a", Residency::OnDemand), model("b", Residency::OnDemand)]);
    models.unload("a");
    let now = Instant::now();
    let error = models.resolve(Some("a"), now).unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownModel);
    assert!(error.message.contains("hearth load"), "{error}");
    assert_eq!(models.resolve(None, now).unwrap().name, "b", "the only one left");
    assert_eq!(models.records().len(), 1);
    assert_eq!(models.list().len(), 2, "the config's own stay listed");
    models.set("a", Residency::OnDemand);
    assert!(models.resolve(None, now).is_err());
    models.unload("a");
    models.unload("b");
    assert!(models.resolve(None, now).unwrap_err().message.contains("none"));
}

#[test]
fn an_added_model_must_not_take_anothers_name() {
    let mut models = Models::new(vec![model("a", Residency::OnDemand)]);
    let added = |name: &str| Model { configured: false, ..model(name, Residency::OnDemand) };
    assert_eq!(models.add(added("b")), Ok(true));
    assert_eq!(models.add(added("b")), Ok(false), "the same again");
    let moved = Model { path: "/elsewhere".into(), ..added("b") };
    assert!(models.add(moved).unwrap_err().message.contains("another folder"));
    let clash = Model { aliases: vec!["a-alias".to_owned()], ..added("c") };
    assert!(models.add(clash).unwrap_err().message.contains("model \"a\""));
    models.unload("b");
    assert_eq!(models.list().len(), 1, "an added one is forgotten");
    for index in 1..MOST {
        assert_eq!(models.add(added(&format!("m{index}"))), Ok(true));
    }
    assert_eq!(models.add(added("one-more")).unwrap_err().kind, ErrorKind::TooLarge);
}

#[test]
fn a_loading_model_says_how_far_it_is() {
    let mut models = Models::new(vec![model("a", Residency::Loading(Progress::default()))]);
    let listed = models.list().remove(0);
    assert_eq!((listed.state, listed.percent), (ModelState::Loading, Some(0)));
    assert_eq!(models.percent(), 0);
    assert!(models.reserve("a", Reservation::Unload).is_err(), "first it is loaded");
}

#[test]
fn a_loaded_model_is_listed_with_all_that_is_known_of_it() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/models/tiny-sd3");
    let report = hearth_inference::inspect(
        &folder,
        &hearth_inference::LoadOptions::default(),
        &Progress::default(),
    );
    let known = Arc::new(report.description.unwrap());
    let models = Models::new(vec![model(
        "a",
        Residency::Ready(Facts { description: Arc::clone(&known), preparer: None }),
    )]);
    let listed = serde_json::to_value(models.list().remove(0)).unwrap();
    let known = serde_json::to_value(known.as_ref()).unwrap();
    for (name, value) in known.as_object().unwrap() {
        let nothing = value.is_null() || *value == 0 || *value == serde_json::json!([]);
        // The worker's own device is in its record; what isn't there is left out.
        if name != "device" && !nothing {
            assert_eq!(listed.get(name), Some(value), "{name}: list_models says what inspect says");
        }
    }
}
