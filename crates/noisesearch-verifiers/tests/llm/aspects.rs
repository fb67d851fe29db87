//! Verifiers that are scores of one judge share its answers.

use super::{Request, Response, Server, folder, pictures, settings, status, task};
use candle_core::Tensor;
use noisesearch_verifiers::aspect::Aspect;
use noisesearch_verifiers::llm::{Judge, Llm, Settings};
use noisesearch_verifiers::verifier::{Samples, Verifier};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

const PICTURES: u8 = 5;

/// A grade whose scores tell apart the answer (tens) and the aspect (ones).
fn apart(request: &Request) -> Response {
    let score = |aspect: Aspect| 10 * (request.number % 10) + aspect as usize;
    let part = |aspect: Aspect| json!({"reason": "so it looks", "score": score(aspect)});
    let parts = Aspect::ALL.map(|aspect| (aspect.name().to_owned(), part(aspect)));
    let mut grade = Map::from_iter(parts);
    grade.insert("id".into(), request.id().into());
    super::says(&Value::from(grade).to_string())
}

fn images() -> Tensor {
    let images = pictures(PICTURES);
    let images: Vec<Tensor> = images.iter().map(|p| p.to_image().unwrap()).collect();
    Tensor::cat(&images, 0).unwrap()
}

fn score(verifier: &dyn Verifier, afresh: bool) -> candle_core::Result<Vec<f64>> {
    let images = images();
    let samples = Samples {
        images: &images,
        early: None,
    };
    match afresh {
        true => verifier.score_afresh(&task(), &samples),
        false => verifier.score(&task(), &samples),
    }
}

/// Scores of one judge in this order.
fn verifiers(settings: &Settings, aspects: &[Aspect]) -> Vec<Llm> {
    let judge = Arc::new(Judge::new(settings));
    let of = |aspect: &Aspect| Llm::of(judge.clone(), *aspect);
    aspects.iter().map(of).collect()
}

/// The aspects in an order that begins with each of them once, forwards and backwards.
fn orders() -> Vec<Vec<Aspect>> {
    let turned = |by: usize| {
        let mut order = Aspect::ALL.to_vec();
        order.rotate_left(by);
        let backwards = order.iter().rev().copied().collect();
        [order, backwards]
    };
    (0..Aspect::ALL.len()).flat_map(turned).collect()
}

#[test]
fn all_scores_of_a_picture_are_those_of_one_answer_in_any_order() {
    for order in orders() {
        let server = Server::new(apart);
        let verifiers = verifiers(&settings(&server), &order);
        for (look, afresh) in [false, false, true, true].into_iter().enumerate() {
            let first = score(&verifiers[0], afresh).unwrap();
            for (verifier, aspect) in verifiers.iter().zip(&order).skip(1) {
                let scores = score(verifier, afresh).unwrap();
                for (one, other) in first.iter().zip(scores) {
                    let apart = *aspect as usize as f64 - order[0] as usize as f64;
                    assert_eq!(other - one, apart, "look {look}: {order:?}");
                }
            }
            let asked = (look + 1) * usize::from(PICTURES);
            assert_eq!(server.seen().len(), asked, "look {look}: {order:?}");
        }
        assert!(server.most() <= 3, "{} at a time", server.most());
        let spent = |llm: &Llm| (llm.fees().requests, llm.fees().tokens_read);
        let requests = 4 * u64::from(PICTURES);
        assert_eq!(spent(&verifiers[0]), (requests, 100 * requests));
        assert!(verifiers[1..].iter().all(|llm| spent(llm) == (0, 0)));
        let notes: Vec<String> = verifiers.iter().flat_map(Verifier::notes).collect();
        assert_eq!(notes.len(), 1, "{notes:?}");
    }
}

#[test]
fn an_aspect_alone_is_a_verifier_with_an_identity_of_its_own() {
    let server = Server::new(apart);
    let settings = settings(&server);
    let whole = Llm::new(&settings);
    for (number, aspect) in Aspect::ALL.into_iter().enumerate() {
        let [alone] = &verifiers(&settings, &[aspect])[..] else {
            panic!()
        };
        let mut scores = score(alone, false).unwrap();
        scores.sort_by(f64::total_cmp);
        let first = (usize::from(PICTURES) * number % 10) as f64;
        let expected: Vec<f64> = (0..PICTURES)
            .map(|i| 10.0 * (first + f64::from(i)) + number as f64)
            .collect();
        assert_eq!(scores, expected, "{aspect:?}");
        assert_eq!(alone.fees().requests, u64::from(PICTURES));
        assert_eq!(alone.id().weights, whole.id().weights);
        let same = alone.id().name == whole.id().name;
        assert_eq!(same, aspect == Aspect::Overall, "{:?}", alone.id());
    }
    let [accuracy, ..] = Aspect::ALL;
    assert_eq!(accuracy.verifier(), "llm-accuracy");
}

/// What is on the disk serves every aspect, whichever asked for it.
#[test]
fn a_grade_that_is_kept_is_kept_for_all_aspects() {
    let server = Server::new(apart);
    let settings = Settings {
        cache: Some(folder("aspects")),
        ..settings(&server)
    };
    let [emotion] = &verifiers(&settings, &[Aspect::Emotion])[..] else {
        panic!()
    };
    let emotions = score(emotion, false).unwrap();
    let all = verifiers(&settings, &Aspect::ALL);
    for (verifier, aspect) in all.iter().zip(Aspect::ALL) {
        let apart = aspect as usize as f64 - Aspect::Emotion as usize as f64;
        let scores: Vec<f64> = emotions.iter().map(|score| score + apart).collect();
        assert_eq!(score(verifier, false).unwrap(), scores);
    }
    assert_eq!(server.seen().len(), usize::from(PICTURES));
    let cached: Vec<u64> = all.iter().map(|llm| llm.cost().cached).collect();
    assert_eq!(cached, [5, 0, 0, 0, 0, 0]);
}

#[test]
fn an_answer_that_fails_fails_all_its_scores() {
    for (name, answer, _) in super::cases::UNREADABLE {
        let server = Server::new(move |request| answer(&request.id()));
        let verifiers = verifiers(&settings(&server), &Aspect::ALL);
        for verifier in &verifiers {
            let scores = score(verifier, false).unwrap();
            assert!(scores.iter().all(|score| score.is_nan()), "{name}");
        }
        assert_eq!(server.seen().len(), usize::from(PICTURES), "{name}");
        let notes: Vec<String> = verifiers.iter().flat_map(Verifier::notes).collect();
        let failed = |note: &&String| note.contains("no score");
        let failed = notes.iter().filter(failed).count();
        assert_eq!(failed, usize::from(PICTURES), "{name}: {notes:?}");
    }
    let server = Server::new(|_| status("401 Unauthorized", "{}"));
    for verifier in verifiers(&settings(&server), &Aspect::ALL) {
        let error = score(&verifier, false).unwrap_err().to_string();
        assert!(error.contains("status 401"), "{error}");
    }
}

/// A second verifier waits for the answers that the first has asked for.
#[test]
fn verifiers_that_look_at_the_same_time_ask_once() {
    let server = Server::new(|request| {
        let Response(bytes, _) = apart(request);
        Response(bytes, Duration::from_millis(30))
    });
    let verifiers = verifiers(&settings(&server), &Aspect::ALL);
    std::thread::scope(|scope| {
        for verifier in &verifiers {
            scope.spawn(|| score(verifier, false).unwrap());
        }
    });
    assert_eq!(server.seen().len(), usize::from(PICTURES));
    assert!(server.most() <= 3, "{} at a time", server.most());
    let requests = verifiers.iter().map(|llm| llm.fees().requests).sum::<u64>();
    assert_eq!(requests, u64::from(PICTURES));
}
