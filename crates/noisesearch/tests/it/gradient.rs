//! Whose gradient a first-order search follows.

use crate::fake::registry;
use candle_core::{Result as Made, Tensor};
use noisesearch::engine::Engine;
use noisesearch::spec::{Checked, Spec, SpecError};
use noisesearch_core::level::Level;
use noisesearch_models::denoiser::{Conditioning, Denoiser, LatentShape};
use std::sync::Arc;

fn check(verifiers: &str, search: &str) -> Result<Checked, SpecError> {
    let text = format!(
        "prompt = \"a\"\nverifiers = [{verifiers}]\n[search]\nmethod = \"first-order\"\n{search}"
    );
    Spec::from_toml(&text).unwrap().check(&registry())
}

fn followed(checked: &Checked) -> String {
    checked.search.followed().unwrap().to_string()
}

#[test]
fn it_is_the_first_that_is_optimised() {
    let two = r#""left", "bright""#;
    assert_eq!(followed(&check(two, "").unwrap()), "left");
    let chosen = check(two, "follow = \"bright\"").unwrap();
    assert_eq!(followed(&chosen), "bright");
    let text = chosen.to_toml().unwrap();
    let again = Spec::from_toml(&text).unwrap().check(&registry()).unwrap();
    assert_eq!(again, chosen, "{text}");
}

#[test]
fn it_must_be_optimised_and_have_a_gradient() {
    // `even` is watched by default.
    let watched = check(r#""bright""#, "follow = \"even\"").unwrap_err();
    assert!(
        matches!(watched, SpecError::NotOptimised { .. }),
        "{watched}"
    );
    let name = check(r#""bright""#, "follow = \"a b\"").unwrap_err();
    assert!(matches!(name, SpecError::Search { .. }), "{name}");
    let spec = check(r#""left", "bright""#, "").unwrap();
    let refused = Engine::open(&registry(), &spec).err().unwrap().to_string();
    let said = "verifier `left` has none; verifiers that do: bright";
    assert!(refused.contains(said), "{refused}");
    let spec = check(r#""left", "bright""#, "follow = \"bright\"").unwrap();
    assert!(Engine::open(&registry(), &spec).is_ok());
}

/// A denoiser that cannot be gone back through.
struct OneWay(Box<dyn Denoiser>);

impl Denoiser for OneWay {
    fn shape(&self) -> LatentShape {
        self.0.shape()
    }
    fn denoise(&self, x: &Tensor, at: Level, cond: &Conditioning) -> Made<Tensor> {
        self.0.denoise(x, at, cond)
    }
    fn passes_per_row(&self, cond: &Conditioning) -> u64 {
        self.0.passes_per_row(cond)
    }
}

#[test]
fn a_model_without_a_way_back_is_refused() {
    let mut registry = registry();
    let open = registry.models[0].open.clone();
    registry.models[0].open = Arc::new(move |place| {
        let mut model = open(place)?;
        model.denoiser = Box::new(OneWay(model.denoiser));
        Ok(model)
    });
    let spec = check(r#""bright""#, "").unwrap();
    let refused = Engine::open(&registry, &spec).err().unwrap().to_string();
    let said = "model `fake` has none; models that do: letters";
    assert!(refused.contains(said), "{refused}");
}
