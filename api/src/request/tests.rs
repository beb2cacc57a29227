//! What requests are read from, and what is refused.

use serde_json::json;

use super::*;

/// As requests go over the wire.
mod codec {
    use rmp_serde::{decode, encode};

    pub(super) fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, encode::Error> {
        rmp_serde::to_vec_named(value)
    }

    pub(super) fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, decode::Error> {
        rmp_serde::from_slice(bytes)
    }
}

fn parse(json: serde_json::Value) -> Result<GenerationRequest, CallError> {
    GenerationRequest::from_json(json)
}

#[test]
fn an_unknown_field_is_named_with_the_nearest() {
    let error = parse(json!({"prompt": "x", "guidence_scale": 3})).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("guidence_scale"));
    assert!(error.message.contains("guidance_scale"), "{}", error.message);
    let error = parse(json!({"prompt": "x", "qqq": 3})).unwrap_err();
    assert!(error.message.contains("known fields"), "{}", error.message);
}

#[test]
fn a_wrong_type_names_the_field() {
    let error = parse(json!({"prompt": "x", "seed": "seven"})).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("seed"));
    let error = parse(json!({"prompt": "x", "seed": -1})).unwrap_err();
    let wanted = "seed is -1: give a whole number from 0 to 18446744073709551615";
    assert_eq!(error.message, wanted);
    let error = parse(json!({"prompt": "x", "sigmas": 3})).unwrap_err();
    assert_eq!(error.message, "sigmas is 3: give a list");
    let error = parse(json!({"prompt": "x", "task": "paint"})).unwrap_err();
    assert!(error.message.contains("text-to-image"), "{}", error.message);
}

/// A reader's own words are of no use to whoever wrote the value.
#[test]
fn each_field_says_of_each_wrong_type_what_to_give() {
    let values = [
        json!(null),
        json!(true),
        json!(-1),
        json!(7),
        json!(1.5),
        json!(1e300),
        json!("words"),
        json!([]),
        json!([null]),
        json!([1, 2, 3]),
        json!(["words", 7]),
        json!([{"name": 7}]),
        json!({}),
        json!({"name": ["x"]}),
        json!({"name": "x", "more": [1]}),
    ];
    const READERS: [&str; 14] = [
        "invalid type",
        "invalid value",
        "invalid length",
        "expected",
        "did not match",
        "untagged",
        "variant",
        "u32",
        "u64",
        "f64",
        "a sequence",
        "struct",
        "missing field",
        "unknown field",
    ];
    let mut refused = 0;
    for field in GenerationRequest::fields() {
        let mut taken = 0;
        for value in &values {
            let Err(error) = parse(json!({*field: value})) else {
                taken += 1;
                continue;
            };
            let (message, param) = (error.message, error.param.unwrap());
            refused += 1;
            // An alias goes by the field's own name.
            let own = if *field == "num_images_per_prompt" { "num_images" } else { *field };
            assert!(param.starts_with(own) || param.starts_with(field), "{field} {value}: {param}");
            assert!(message.starts_with(&param), "{field} {value}: {message}");
            let of_reader = READERS.iter().find(|word| message.contains(**word));
            assert_eq!(of_reader, None, "{field} {value}: {message}");
            let helps = ["give", "missing", "use", "known"];
            assert!(helps.iter().any(|word| message.contains(word)), "{field} {value}: {message}");
        }
        assert!(taken < values.len(), "{field} takes everything");
    }
    assert!(refused > 400, "{refused}");
}

#[test]
fn fields_of_text_are_known_by_their_type() {
    let of_text =
        GenerationRequest::fields().iter().filter(|name| GenerationRequest::takes_text(name));
    let of_text: Vec<_> = of_text.copied().collect();
    let wanted = [
        "id",
        "model",
        "task",
        "prompt",
        "prompt_2",
        "prompt_3",
        "negative_prompt",
        "negative_prompt_2",
        "negative_prompt_3",
    ];
    assert_eq!(of_text, wanted);
    assert!(!GenerationRequest::takes_text("no_such_field"));
}

#[test]
fn empty_prompts_are_prompts() {
    for prompt in ["", " ", "\n"] {
        let request = GenerationRequest { prompt: prompt.to_owned(), ..Default::default() };
        assert_eq!(request.check(), Ok(()), "{prompt:?}");
    }
}

#[test]
fn aliases_and_scheduler_forms() {
    let request = parse(json!({
        "prompt": "x", "num_images_per_prompt": 3, "task": "omni_text2image",
        "scheduler": {"name": "euler", "use_karras_sigmas": true},
    }))
    .unwrap();
    assert_eq!(request.images(), 3);
    assert_eq!(request.task, Some(Task::TextToImage));
    assert_eq!(request.scheduler.as_deref(), Some("euler:use_karras_sigmas=true"));
}

#[test]
fn adapters_are_a_list_or_a_map() {
    let lora = |lora| parse(json!({"prompt": "x", "lora": lora})).map(|request| request.lora);
    let one = |name: &str, scale| Lora { name: name.to_owned(), scale };
    let list = lora(json!([{"name": "ink", "scale": -0.5}, {"name": "glow"}, "dust"])).unwrap();
    assert_eq!(list, [one("ink", -0.5), one("glow", 1.0), one("dust", 1.0)]);
    assert_eq!(lora(json!({"glow": 1, "ink": 0.5})).unwrap(), [one("glow", 1.0), one("ink", 0.5)]);
    assert_eq!(lora(json!([])).unwrap(), []);
    assert_eq!(lora(json!(null)).unwrap(), []);
    let wire = GenerationRequest { lora: list, ..Default::default() };
    assert_eq!(codec::decode::<GenerationRequest>(&codec::encode(&wire).unwrap()).unwrap(), wire);

    for (wrong, field, message) in [
        (json!("ink"), "lora", "a list as in"),
        (json!([7]), "lora[0]", "an adapter as in"),
        (json!(["ink", {"name": "glow", "scale": "much"}]), "lora[1].scale", "a number"),
        (json!([{"name": "ink", "weight": 1}]), "lora[0].weight", "scale"),
        (json!([{"scale": 1}]), "lora[0]", "name"),
        (json!({"ink": "much"}), "lora.ink", "a number"),
    ] {
        let error = lora(wrong).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(field), "{}", error.message);
        assert!(error.message.contains(message), "{}", error.message);
    }
    for (wrong, message) in [
        (vec![one("ink", f64::NAN)], "the scale of \"ink\" is NaN"),
        (vec![one("ink", 1.0), one("ink", 0.5)], "\"ink\" is given twice"),
        (vec![one("", 1.0)], "a name is empty"),
        ((0..33).map(|i| one(&i.to_string(), 1.0)).collect(), "33 adapters"),
    ] {
        let request = GenerationRequest { lora: wrong, ..Default::default() };
        let error = request.check().unwrap_err();
        assert_eq!(error.param.as_deref(), Some("lora"));
        assert!(error.message.contains(message), "{}", error.message);
    }
}

#[test]
fn bad_values_are_refused_by_name() {
    let good = GenerationRequest { prompt: "x".to_owned(), ..Default::default() };
    assert_eq!(good.check(), Ok(()));
    let cases = [
        ("prompt", GenerationRequest { prompt: "x".repeat(10_001), ..good.clone() }),
        ("num_images", GenerationRequest { num_images: Some(0), ..good.clone() }),
        ("num_images", GenerationRequest { num_images: Some(65), ..good.clone() }),
        ("guidance_scale", GenerationRequest { guidance_scale: Some(f64::NAN), ..good.clone() }),
        ("sigmas", GenerationRequest { sigmas: Some(vec![0.5, 1.0]), ..good.clone() }),
        ("sigmas", GenerationRequest { sigmas: Some(vec![f64::NAN]), ..good.clone() }),
        ("sigmas", GenerationRequest { sigmas: Some(falling(10_000)), ..good.clone() }),
        ("timesteps", GenerationRequest { timesteps: Some(Vec::new()), ..good.clone() }),
        ("preview_every", GenerationRequest { preview_every: Some(0), ..good.clone() }),
        ("deadline_ms", GenerationRequest { deadline_ms: Some(0), ..good.clone() }),
    ];
    for (field, request) in cases {
        assert_eq!(request.check().unwrap_err().param.as_deref(), Some(field));
    }
    let lists = [
        (vec![0.5, 1.0], "sigmas: 1 comes after 0.5: give numbers that fall"),
        (vec![1.0, f64::INFINITY], "sigmas: inf is none that can be used: give finite numbers"),
        (falling(10_000), "sigmas has 10000 numbers: give 1 to 1000"),
    ];
    for (sigmas, wanted) in lists {
        let request = GenerationRequest { sigmas: Some(sigmas), ..good.clone() };
        assert_eq!(request.check().unwrap_err().message, wanted);
    }
}

fn falling(length: u32) -> Vec<f64> {
    (0..length).rev().map(f64::from).collect()
}

#[test]
fn the_digest_is_of_the_content_alone() {
    let one = GenerationRequest { prompt: "x".to_owned(), ..Default::default() };
    let named = GenerationRequest { id: Some("a".parse().unwrap()), ..one.clone() };
    let other = GenerationRequest { seed: Some(1), ..one.clone() };
    assert_eq!(one.digest(), named.digest());
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn every_field_is_listed() {
    let json = r#"{"id": "a", "model": "m", "task": "general", "prompt": "p",
        "prompt_2": "p", "prompt_3": "p", "negative_prompt": "n", "negative_prompt_2": "n",
        "negative_prompt_3": "n", "width": 1, "height": 1, "num_images": 1,
        "num_inference_steps": 1, "timesteps": [9, 1], "sigmas": [1.5, 0], "guidance_scale": 1.0,
        "guidance_rescale": 0.5, "guidance_interval": [0.25, 0.75], "true_cfg_scale": 2.0, "eta": 0.0,
        "original_inference_steps": 50,
        "clip_skip": 1, "max_sequence_length": 77, "denoising_start": 0.5,
        "denoising_end": 0.8, "original_size": [1, 2], "target_size": [1, 2],
        "crops_coords_top_left": [0, 0], "negative_original_size": [1, 2],
        "negative_target_size": [1, 2], "negative_crops_coords_top_left": [0, 0],
        "aesthetic_score": 6, "negative_aesthetic_score": 2.5,
        "class_labels": 1, "image": "aGk=", "mask_image": "data:image/png;base64,aGk=",
        "strength": 0.5, "latents": "aGk=", "seed": 1, "noise_device": "cuda", "lora": ["a"],
        "control_image": "aGk=", "controlnet_conditioning_scale": [0.5, 1],
        "control_guidance_start": 0, "control_guidance_end": 0.5, "guess_mode": true, "long_prompt": true,
        "prompt_weights": true,
        "scheduler": "s", "exact": true, "output_format": "png", "preview_every": 1, "deadline_ms": 1,
        "metadata": {"k": "v"}}"#;
    let request = parse(serde_json::from_str(json).unwrap()).unwrap();
    let serde_json::Value::Object(fields) = serde_json::to_value(request).unwrap() else {
        unreachable!("a struct is a map");
    };
    let known: Vec<_> =
        fields.keys().map(String::as_str).chain(["num_images_per_prompt"]).collect();
    let listed = GenerationRequest::fields();
    for name in known {
        assert!(listed.contains(&name), "{name} isn't among {listed:?}");
    }
}

#[test]
fn other_programs_names_say_what_to_give_here() {
    for (name, remedy) in [
        ("output_type", "npy stands for output_type"),
        ("skip_guidance_layers", "layers can't be left out"),
        ("steps", "give num_inference_steps"),
        ("generator", "give seed"),
        ("prompt_embeds", "give the prompt in words"),
    ] {
        let error = parse(json!({"prompt": "x", name: 1})).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(name));
        assert!(error.message.contains(remedy), "{}", error.message);
    }
}

#[test]
fn the_page_of_requests_has_every_field() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/requests.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, table) = page.split_once("<!-- fields:").unwrap();
    let (table, _) = table.split_once("<!-- end of fields -->").unwrap();
    let first = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" | "));
    let mut there: Vec<_> = first
        .flat_map(|(cell, _)| cell.split(['`', ',', ' ']))
        .filter(|name| !name.is_empty())
        .collect();
    let mut known = GenerationRequest::fields().to_vec();
    there.sort_unstable();
    known.sort_unstable();
    assert_eq!(there, known, "docs/requests.md");
}

/// Each argument of diffusers' pipelines is a field, or is refused with what to do instead.
#[test]
fn every_argument_of_diffusers_is_answered() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../inference/tests/vectors/pipelines/signatures.json"
    );
    let file: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let given = case["defaults"].as_object().unwrap().keys().map(String::as_str);
        let needed = case["required"].as_array().unwrap().iter().filter_map(|name| name.as_str());
        for name in given.chain(needed).filter(|name| !GenerationRequest::fields().contains(name)) {
            let message = names::unknown(name, GenerationRequest::fields()).message;
            let answered = !message.contains("did you mean") && !message.contains("known fields");
            assert!(answered, "{}: {message}", case["class"]);
        }
    }
}

#[test]
fn one_control_image_is_a_list_of_one() {
    let one = parse(json!({"prompt": "x", "control_image": "aGVhcnRo",
        "controlnet_conditioning_scale": 0.5, "control_guidance_end": 1}))
    .unwrap();
    let list = parse(json!({"prompt": "x", "control_image": ["aGVhcnRo"],
        "controlnet_conditioning_scale": [0.5], "control_guidance_end": [1]}))
    .unwrap();
    assert_eq!(one, list);
    let two = parse(json!({"prompt": "x", "control_image": ["YQ==", "Yg=="]})).unwrap();
    let mut come: GenerationRequest = codec::decode(&codec::encode(&two).unwrap()).unwrap();
    assert_eq!(come, two);
    for ((name, input), bytes) in come.inputs_mut().into_iter().zip(["a", "b"]) {
        assert!(name == "control_image" && input.fill(bytes.into()));
    }
    for (field, value) in [("control_image", json!(7)), ("control_image", json!([null]))] {
        let error = parse(json!({"prompt": "x", field: value})).unwrap_err();
        assert!(error.param.unwrap().starts_with(field), "{}", error.message);
    }
    let many = parse(json!({"prompt": "x", "control_image": vec!["YQ=="; 9]})).unwrap();
    assert!(many.check().unwrap_err().message.contains("give at most 8"));
    let scales = vec![f64::INFINITY];
    let odd = GenerationRequest { controlnet_conditioning_scale: scales, ..two };
    assert_eq!(odd.check().unwrap_err().param.as_deref(), Some("controlnet_conditioning_scale"));
}

#[test]
fn a_file_goes_by_its_digest_and_comes_apart() {
    let request = parse(json!({"prompt": "x", "image": "aGVhcnRo"})).unwrap();
    assert_eq!(request.image.as_ref().unwrap().bytes().unwrap().as_ref(), b"hearth");
    let wire = codec::encode(&request).unwrap();
    let mut come: GenerationRequest = codec::decode(&wire).unwrap();
    assert_eq!(come, request);
    assert_eq!(come.digest(), request.digest());
    let (name, image) = come.inputs_mut().remove(0);
    assert!(name == "image" && image.bytes().is_none());
    assert!(!image.fill(bytes::Bytes::from_static(b"others")) && image.bytes().is_none());
    assert!(image.fill(bytes::Bytes::from_static(b"hearth")) && image.bytes().is_some());

    let error = parse(json!({"prompt": "x", "image": "%"})).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("image"));
    assert!(error.message.contains("base64"), "{}", error.message);
    let empty = parse(json!({"prompt": "x", "image": ""})).unwrap();
    assert!(empty.check().unwrap_err().message.contains("0 bytes"));
}
