//! What a program's hooks do to requests and items, and what their failures do to the engine.
#![expect(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearth_engine::hooks::{self, Hook};
use hearth_engine::{
    CallError, Engine, EngineBuilder, ErrorKind, FinishReason, GenerationRequest, ItemOutput,
    RequestEvent,
};
use support::{Cluster, SOON, Worker};

fn request(prompt: &str) -> GenerationRequest {
    GenerationRequest { prompt: prompt.to_owned(), seed: Some(7), ..GenerationRequest::default() }
}

fn refusal(kind: ErrorKind, message: &str) -> CallError {
    CallError::new(kind, message)
}

/// An engine with these hooks, over one worker.
async fn engine(hooks: Vec<Box<dyn Hook>>) -> (Cluster, Worker, Engine) {
    let cluster = Cluster::new();
    let worker = cluster.worker(0).await;
    let builder = Engine::builder(cluster.executor(&cluster.url(), None));
    let engine = hooks.into_iter().fold(builder, EngineBuilder::hook).build();
    engine.wait_ready(1, SOON).await.unwrap();
    (cluster, worker, engine)
}

async fn run(engine: &Engine, prompt: &str) -> Result<Vec<u8>, CallError> {
    let output = engine.submit(request(prompt)).await?.finish().await?;
    output.items.into_iter().next().unwrap().map(|image| image.bytes.to_vec())
}

#[tokio::test]
async fn they_run_in_their_order_each_on_what_the_one_before_gave_back() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let mut hooks: Vec<Box<dyn Hook>> = Vec::new();
    for name in ["a", "b"] {
        hooks.push(Box::new(hooks::on_request(async move |mut request: GenerationRequest| {
            request.prompt += name;
            Ok::<_, CallError>(request)
        })));
        let seen = Arc::clone(&seen);
        hooks.push(Box::new(hooks::on_item(move |mut item: ItemOutput| {
            seen.lock().unwrap().push(item.bytes.clone());
            item.bytes = [&item.bytes[..], name.as_bytes()].concat().into();
            // An item can't pass for another.
            item.index += 5;
            async move { Ok::<_, CallError>(item) }
        })));
    }
    let (_cluster, worker, engine) = engine(hooks).await;
    let mut submission = engine.submit(request("x")).await.unwrap();
    let mut shown = None;
    let mut output = None;
    while let Some(event) = submission.next().await {
        match event {
            RequestEvent::Item(item) => shown = Some(item),
            RequestEvent::Finished(finished) => output = Some(finished),
            _ => {}
        }
    }
    let image = output.unwrap().items.remove(0).unwrap();
    assert_eq!((&image.bytes[..], image.index), (&b"image of seed 7ab"[..], 0));
    assert_eq!(shown.unwrap().bytes, image.bytes, "events show what hooks have seen");
    assert_eq!(*seen.lock().unwrap(), ["image of seed 7", "image of seed 7a"]);
    let (args, ..) = worker.state.last.lock().unwrap().clone().unwrap();
    assert_eq!(args.request.prompt, "xab");
}

#[tokio::test]
async fn a_request_that_is_refused_reaches_neither_later_hooks_nor_workers() {
    let refuse = hooks::on_request(async |request: GenerationRequest| match &*request.prompt {
        "bad" => Err(refusal(ErrorKind::PermissionDenied, "not this prompt")),
        _ => Ok(request),
    });
    let count = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&count);
    let later = hooks::on_request(move |request: GenerationRequest| {
        *counted.lock().unwrap() += 1;
        async { Ok::<_, CallError>(request) }
    });
    let (_cluster, worker, engine) = engine(vec![Box::new(refuse), Box::new(later)]).await;
    let error = run(&engine, "bad").await.unwrap_err();
    assert_eq!((error.kind, &*error.message), (ErrorKind::PermissionDenied, "not this prompt"));
    assert_eq!((worker.state.generates(), *count.lock().unwrap()), (0, 0));
    run(&engine, "good").await.unwrap();
    assert_eq!((worker.state.generates(), *count.lock().unwrap()), (1, 1));
}

#[tokio::test]
async fn an_item_that_is_refused_fails_with_the_hooks_error_and_is_not_made_again() {
    let refuse = hooks::on_item(async |item: ItemOutput| match item.index {
        0 => Err(refusal(ErrorKind::NotReady, "not this image")),
        _ => Ok(item),
    });
    let (_cluster, worker, engine) = engine(vec![Box::new(refuse)]).await;
    let two = GenerationRequest { num_images: Some(2), ..request("x") };
    let output = engine.submit(two).await.unwrap().finish().await.unwrap();
    assert_eq!(output.items[0].as_ref().unwrap_err().message, "not this image");
    assert!(output.items[1].is_ok(), "it hides no other");
    assert_eq!(output.finish_reason, FinishReason::Error);
    assert_eq!(worker.state.generates(), 2);
}

#[tokio::test]
async fn a_panic_is_an_error_of_its_request_alone() {
    let on_request = hooks::on_request(async |request: GenerationRequest| {
        assert_ne!(request.prompt, "early", "a hook trips");
        Ok::<_, CallError>(request)
    });
    struct Late;
    #[async_trait::async_trait]
    impl Hook for Late {
        async fn on_item(
            &self,
            request: &GenerationRequest,
            item: ItemOutput,
        ) -> Result<ItemOutput, CallError> {
            assert_ne!(request.prompt, "late", "another trips");
            Ok(item)
        }
    }
    let (_cluster, _worker, engine) = engine(vec![Box::new(on_request), Box::new(Late)]).await;
    for (prompt, said) in [("early", "a hook trips"), ("late", "another trips")] {
        let error = run(&engine, prompt).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Internal);
        assert!(error.message.contains("hook") && error.message.contains(said), "{error}");
    }
    assert_eq!(run(&engine, "fine").await.unwrap(), b"image of seed 7");
}

#[tokio::test]
async fn a_hook_that_never_ends_is_bounded_by_the_requests_deadline() {
    let stuck = hooks::on_request(async |_: GenerationRequest| {
        std::future::pending::<Result<GenerationRequest, CallError>>().await
    });
    let (_cluster, worker, engine) = engine(vec![Box::new(stuck)]).await;
    let hasty = GenerationRequest { deadline_ms: Some(200), ..request("x") };
    let ended = tokio::time::timeout(Duration::from_secs(10), engine.submit(hasty)).await;
    assert_eq!(ended.unwrap().err().unwrap().kind, ErrorKind::DeadlineExceeded);
    assert_eq!(worker.state.generates(), 0);
}
