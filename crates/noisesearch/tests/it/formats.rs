//! In which number format models are opened.

use crate::fake::registry;
use crate::runs::checked;
use noisesearch::engine::Engine;
use noisesearch::registry::Registry;
use std::sync::{Arc, Mutex};

/// Number formats in which the models of a registry were opened.
type Opened = Arc<Mutex<Vec<Option<&'static str>>>>;

/// A registry of ours around the fakes: it sees how they are opened.
fn watched() -> (Registry, Opened) {
    let (mut registry, opened) = (registry(), Opened::default());
    for entry in &mut registry.models {
        let (open, opened) = (entry.open.clone(), opened.clone());
        entry.open = Arc::new(move |place| {
            opened
                .lock()
                .unwrap()
                .push(place.bf16.map(|order| order.name()));
            open(place)
        });
    }
    (registry, opened)
}

#[test]
fn a_registry_of_ones_own_opens_every_format() {
    let (registry, opened) = watched();
    for (dtype, format) in [("f32", None), ("bf16-pair", Some("bf16-pair"))] {
        let spec = format!("prompt = \"a\"\ndtype = \"{dtype}\"");
        Engine::open(&registry, &checked(&spec, &registry)).unwrap();
        assert_eq!(opened.lock().unwrap().pop(), Some(format));
    }
    assert!(opened.lock().unwrap().is_empty());
}
