//! Mistakes: each is refused with a typed error that says what to do, and nothing is started.

use std::time::Duration;

use hearth_launchers::{Error, Handle, LaunchId, LaunchSpec, LogOptions};

use super::Fixture;

pub(crate) async fn a_program_that_is_not_there_starts_nothing(fixture: &Fixture) {
    for program in ["/no/such/program", "no-such-program"] {
        let spec = LaunchSpec {
            program: program.into(),
            name: "absent".to_owned(),
            ..fixture.script(2, "exit 0")
        };
        let error = fixture.launcher().launch(&spec).await.unwrap_err();
        assert!(matches!(error, Error::Program { .. }), "{error:?}");
        assert!(error.is_configuration() && error.to_string().contains(program), "{error}");
    }
    let kept = fixture.state.list().unwrap();
    assert!(!kept.iter().any(|record| record.spec.name == "absent"), "{kept:?}");
}

pub(crate) async fn a_timeout_of_zero_is_refused(fixture: &Fixture) {
    let spec = LaunchSpec { timeout: Some(Duration::ZERO), ..fixture.script(1, "exit 0") };
    let error = fixture.launcher().launch(&spec).await.unwrap_err();
    assert!(matches!(error, Error::Spec { field: "timeout", .. }), "{error:?}");
}

pub(crate) async fn a_foreign_handle_is_refused(fixture: &Fixture) {
    let foreign = Handle { launcher: "elsewhere".to_owned(), launch: LaunchId::draw("x"), rank: 0 };
    for error in all_errors(fixture, &foreign).await {
        assert!(matches!(error, Error::ForeignHandle { .. }), "{error:?}");
    }
}

pub(crate) async fn an_unknown_replica_is_refused(fixture: &Fixture) {
    let launcher = fixture.launcher().name().to_owned();
    let unknown = Handle { launcher, launch: LaunchId::draw("x"), rank: 0 };
    for error in all_errors(fixture, &unknown).await {
        assert!(matches!(error, Error::UnknownReplica { .. }), "{error:?}");
    }
    let handles = fixture.launcher().launch(&fixture.script(1, "exit 0")).await.unwrap();
    let beyond = Handle { rank: 1, ..handles[0].clone() };
    for error in all_errors(fixture, &beyond).await {
        assert!(matches!(error, Error::UnknownReplica { .. }), "{error:?}");
    }
    fixture.collect(&handles).await;
}

async fn all_errors(fixture: &Fixture, handle: &Handle) -> Vec<Error> {
    let launcher = fixture.launcher();
    let handles = std::slice::from_ref(handle);
    let logs = launcher.logs(handle, LogOptions::default()).await;
    vec![
        launcher.poll(handles).await.unwrap_err(),
        launcher.cancel(handles).await.unwrap_err(),
        launcher.collect(handles, None).await.unwrap_err(),
        logs.err().expect("its logs are refused"),
    ]
}
