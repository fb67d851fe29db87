//! States of recipe prefixes: what was solved once is not solved again while it is here.

use noisesearch_core::recipe::RecipeId;
use noisesearch_models::replay::State;
use std::collections::{BTreeMap, HashMap};

/// States by prefix, the least recently used ones dropped beyond a number of bytes.
pub struct Cache {
    states: HashMap<RecipeId, (u64, State)>,
    by_age: BTreeMap<u64, RecipeId>,
    clock: u64,
    bytes: usize,
    bytes_max: usize,
}

/// Bytes of the tables, per entry, roughly.
const ENTRY_BYTES: usize = 192;

impl Cache {
    /// An empty cache of at most `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        let (states, by_age) = (HashMap::new(), BTreeMap::new());
        Self {
            states,
            by_age,
            clock: 0,
            bytes: 0,
            bytes_max,
        }
    }

    /// The state of this prefix.
    pub fn get(&mut self, prefix: &RecipeId) -> Option<&State> {
        let (age, state) = self.states.get_mut(prefix)?;
        self.by_age.remove(age);
        self.clock += 1;
        *age = self.clock;
        self.by_age.insert(self.clock, *prefix);
        Some(state)
    }

    /// Remembers the state of a prefix, unless it is larger than the whole cache.
    pub fn put(&mut self, prefix: RecipeId, state: State) {
        let size = size(&state);
        if size > self.bytes_max {
            return;
        }
        self.remove(&prefix);
        while self.bytes + size > self.bytes_max {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                break;
            };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.bytes += size;
        self.by_age.insert(self.clock, prefix);
        self.states.insert(prefix, (self.clock, state));
    }

    fn remove(&mut self, prefix: &RecipeId) {
        if let Some((age, state)) = self.states.remove(prefix) {
            self.by_age.remove(&age);
            self.bytes -= size(&state);
        }
    }
}

fn size(state: &State) -> usize {
    ENTRY_BYTES + size_of_val(state.x.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_core::level::Level;
    use noisesearch_core::recipe::Recipe;

    fn id(root: u64) -> RecipeId {
        Recipe {
            root,
            moves: Vec::new(),
        }
        .id()
    }

    fn state(value: f32) -> State {
        State {
            x: vec![value; 100],
            level: Level::NOISE,
            evaluations: 1,
        }
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let mut cache = Cache::new(3 * (400 + ENTRY_BYTES));
        (0..3).for_each(|root| cache.put(id(root), state(root as f32)));
        assert!(cache.get(&id(0)).is_some());
        cache.put(id(3), state(3.0));
        cache.put(id(3), state(4.0));
        let kept = [0, 1, 2, 3].map(|root| cache.get(&id(root)).map(|state| state.x[0]));
        assert_eq!(kept, [Some(0.0), None, Some(2.0), Some(4.0)]);
        assert_eq!(
            (cache.bytes, cache.by_age.len()),
            (3 * (400 + ENTRY_BYTES), 3)
        );
        cache.put(
            id(9),
            State {
                x: vec![0.0; 9999],
                ..state(0.0)
            },
        );
        assert!(cache.get(&id(9)).is_none());
    }
}
