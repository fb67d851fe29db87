//! The scenes verifiers: golden values of PyTorch, and what every verifier must do.

use candle_core::{Device, Tensor};
use noisesearch_lab::draw;
use noisesearch_lab::rng::Rng;
use noisesearch_models::models::scenes::grammar::Scene;
use noisesearch_models::task::Task;
use noisesearch_verifiers::conformance;
use noisesearch_verifiers::scenes::clip::Clip;
use noisesearch_verifiers::scenes::looks::Looks;
use noisesearch_verifiers::scenes::{self, see::SIDE, self_supervised};
use noisesearch_verifiers::verifier::{Samples, Verifier};
use serde_json::Value;

const PICTURE: usize = 3 * SIDE * SIDE;
const PROMPT: &str = "a striped white star and a red ring";

fn task(prompt: &str) -> Task {
    Task::Prompt(prompt.into())
}

fn tensor(pixels: Vec<f32>) -> Tensor {
    let rows = pixels.len() / PICTURE;
    Tensor::from_vec(pixels, (rows, 3, SIDE, SIDE), &Device::Cpu).unwrap()
}

/// Two scenes that show [`PROMPT`], one that does not, and noise.
fn pictures() -> Tensor {
    let mut rng = Rng::new(3);
    let mut pixels = Vec::new();
    for prompt in [PROMPT, "three small black crosses", PROMPT] {
        let objects = draw::place(&mut rng, &Scene::parse(prompt).unwrap());
        let bytes = draw::render(&mut rng, &objects);
        for c in 0..3 {
            pixels.extend(
                bytes
                    .iter()
                    .skip(c)
                    .step_by(3)
                    .map(|&b| f32::from(b) / 255.0),
            );
        }
    }
    pixels.extend((0..PICTURE).map(|_| rng.range(0.0, 1.0)));
    tensor(pixels)
}

#[test]
fn every_verifier_conforms() {
    for entry in scenes::all() {
        let verifier = (entry.open)().unwrap();
        assert_eq!(verifier.id().name, entry.name);
        conformance::verifier(verifier.as_ref(), &task(PROMPT), &pictures()).unwrap();
    }
}

#[test]
fn the_grader_passes_what_shows_the_prompt() {
    let grader = (scenes::all()[0].open)().unwrap();
    let images = &pictures();
    let scores = grader
        .score(
            &task(PROMPT),
            &Samples {
                images,
                early: None,
            },
        )
        .unwrap();
    let passes: Vec<_> = scores.iter().map(|&s| grader.passes(s)).collect();
    assert_eq!(passes, [Some(true), Some(false), Some(true), Some(false)]);
    assert!(scores.iter().all(|s| (0.0..=1.0).contains(s)), "{scores:?}");
}

#[test]
fn other_tasks_and_pictures_are_refused() {
    let small = Tensor::zeros((1, 3, 32, 32), candle_core::DType::F32, &Device::Cpu).unwrap();
    for entry in scenes::all() {
        let verifier = (entry.open)().unwrap();
        let refusal = |task: &Task, images: &Tensor| {
            let samples = Samples {
                images,
                early: Some(images),
            };
            verifier.score(task, &samples).map_err(|e| e.to_string())
        };
        let error = refusal(&task(PROMPT), &small).unwrap_err();
        assert!(error.contains("[b, 3, 64, 64]"), "{error}");
        if !["looks", "self"].contains(&entry.name) {
            let error = refusal(&Task::Class("A".into()), &pictures()).unwrap_err();
            assert!(error.contains("class \"A\""), "{error}");
            let error = refusal(&task("a red sqare"), &pictures()).unwrap_err();
            assert!(error.contains("nearest known: square"), "{error}");
        }
    }
}

/// The golden network itself, with an eps of 1e-4 for 1e-5 in the norms of its text tower, is off
/// by 5e-4. The tolerance fails for that eps here (a text is off by 1.1e-4), and for pictures that
/// are taken to -0.9999..1 in the place of -1..1 (a picture is off by 1.8e-4): both were tried.
fn close(got: f64, want: &Value, what: &str) {
    let want = want.as_f64().unwrap();
    let error = (got - want).abs() / want.abs().max(0.1);
    assert!(error < 1e-4, "{what}: {got} for {want}, {error:.1e}");
}

#[test]
fn learned_verifiers_match_the_golden_values() {
    let golden = include_str!("../../../parity/goldens/scenes-verifiers.json");
    let golden: Value = serde_json::from_str(golden).unwrap();
    let pixel = |p: usize, i: usize| 0.37 * i as f64 * (p as f64 + 1.0) + p as f64;
    let pixels = (0..3 * PICTURE).map(|i| 0.5 + 0.5 * pixel(i / PICTURE, i % PICTURE).sin());
    let images = &tensor(pixels.map(|v| v as f32).collect());
    let samples = Samples {
        images,
        early: None,
    };
    let (clip, looks) = (Clip::new().unwrap(), Looks::new().unwrap());

    let embedded = clip.embed_images(images).unwrap();
    for (i, score) in looks
        .score(&task(PROMPT), &samples)
        .unwrap()
        .into_iter()
        .enumerate()
    {
        close(score, &golden["looks"][i], "looks");
        for (j, value) in embedded[i].iter().step_by(8).enumerate() {
            close(f64::from(*value), &golden["images"][i][j], "picture");
        }
    }
    for (i, prompt) in golden["prompts"].as_array().unwrap().iter().enumerate() {
        let prompt = prompt.as_str().unwrap();
        let text = clip.embed_scene(&Scene::parse(prompt).unwrap());
        for (j, value) in text.iter().step_by(8).enumerate() {
            close(f64::from(*value), &golden["texts"][i][j], "text");
        }
        for (j, score) in clip
            .score(&task(prompt), &samples)
            .unwrap()
            .into_iter()
            .enumerate()
        {
            close(score, &golden["clip"][i][j], "clip");
        }
    }
}

#[test]
fn a_picture_agrees_with_itself_and_less_with_another() {
    let own = self_supervised(Clip::new().unwrap());
    let images = pictures();
    let score = |early: Option<&Tensor>| {
        let samples = Samples {
            images: &images,
            early,
        };
        own.score(&task(PROMPT), &samples)
    };
    for score in score(Some(&images)).unwrap() {
        assert!((score - 1.0).abs() < 1e-6, "{score}");
    }
    // The same scene drawn twice, against a scene and noise.
    let order = Tensor::new(&[2u32, 3, 0, 1], &Device::Cpu).unwrap();
    let scores = score(Some(&images.index_select(&order, 0).unwrap())).unwrap();
    assert!(scores[0] > 0.8 && scores[1] < 0.5, "{scores:?}");
    let error = score(None).unwrap_err().to_string();
    assert!(error.contains("x0-prediction at level 0.4"), "{error}");
}
