//! Documents of each kind, and what becomes of the files in them.

use hearth_api::request::{GenerationRequest, Input};
use serde_json::json;

use super::*;

fn request(text: &str) -> Result<GenerationRequest, String> {
    let document = RequestDocument::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(document.request().map_err(|error| error.to_string())?.0)
}

#[test]
fn json_yaml_and_a_result_are_read_alike() {
    for text in [
        r#"{"prompt": "red heart", "num_images": 2}"#,
        "prompt: red heart\nnum_images: 2\n",
        r#"{"request": {"prompt": "red heart", "num_images": 2}, "version": "1"}"#,
        "\u{feff}{\"prompt\": \"red heart\", \"num_images\": 2}",
        "\u{feff}prompt: red heart\r\nnum_images: 2\r\n",
    ] {
        let request = request(text).unwrap();
        assert_eq!((&*request.prompt, request.num_images), ("red heart", Some(2)), "{text}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    for (text, reason) in [
        ("{\"prompt\": ", "neither JSON nor a PNG"),
        ("prompt: [", "neither JSON, YAML nor a PNG"),
        ("[1]", "as in {\"prompt\""),
        ("red heart", "as in {\"prompt\""),
        ("guidance: 3\n", "give guidance_scale"),
        ("prompt: 1984\n", "prompt is 1984: give a text, in quotes"),
        ("\u{89}PNG", "neither JSON"),
    ] {
        let error = request(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
    let error = RequestDocument::parse(b"\x89PNG").unwrap_err().to_string();
    assert_eq!(error, "the PNG can't be read");
}

#[test]
fn a_yaml_alias_can_not_grow_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let one = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![one; 9].join(", "));
    }
    assert!(request(&text).is_err());
}

#[test]
fn files_are_replaced_and_compared_with_the_original_ones() {
    let digests: Vec<_> = [b"a", b"b"].map(|bytes| Input::new(&bytes[..])).to_vec();
    let made = json!({"request": {"prompt": "x", "control_image": digests}}).to_string();
    let read = || RequestDocument::parse(made.as_bytes()).unwrap();
    let (bare, original) = read().request().unwrap();
    let missing = original.differences(&bare);
    assert!(matches!(&missing[..], [FileDifference::Missing { count: 2, .. }]), "{missing:?}");

    let mut document = read();
    document.set("control_image", json!(["a", "c"]));
    for (field, file) in document.files_mut() {
        assert_eq!(field, "control_image");
        let content = if *file == json!("a") { "YQ==" } else { "Yw==" };
        *file = json!(content);
    }
    let (request, original) = document.request().unwrap();
    let differences = original.differences(&request);
    assert!(
        matches!(&differences[..], [FileDifference::Other { index: 1, count: 2, .. }]),
        "{differences:?}"
    );
}
