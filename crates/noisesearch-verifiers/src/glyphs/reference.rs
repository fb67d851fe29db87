//! What samples of the glyphs models are measured against: features of real pictures.

use super::judge::FEATURES;
use crate::metrics::Features;
use noisesearch_models::lab::GLYPHS;
use noisesearch_models::weights::{Weights, WeightsError};

const REFERENCE: &[u8] = include_bytes!("../../../../lab/weights/glyphs-reference.safetensors");
/// Pictures of every class.
const PER_CLASS: usize = 150;

/// Features by [`super::oracle::Oracle`] of 5400 training pictures, `[5400, 64]`: 150 of each
/// class, class by class, evenly spread over faces, sizes and places. Embedded in f16, which moved
/// the distance of a thousand held-out pictures from 5.36515 to 5.36513.
pub fn reference() -> Result<Features, WeightsError> {
    let mut weights = Weights::from_bytes(REFERENCE)?;
    let shape = [GLYPHS.len() * PER_CLASS, FEATURES];
    let values = weights.take_vec("features", &shape)?;
    weights.finish()?;
    // Invariant: weights are finite and have their shape.
    Ok(Features::new(FEATURES, values).expect("rows of finite features"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::glyphs::judge::Judge;
    use crate::glyphs::oracle::Oracle;
    use crate::metrics::describe::Describer;
    use crate::metrics::frechet::Frechet;
    use crate::metrics::inception_score::InceptionScore;

    #[test]
    fn the_oracle_knows_every_class_in_its_own_reference() {
        let (features, oracle) = (reference().unwrap(), Oracle::new(Judge::oracle().unwrap()));
        let shares = oracle.probabilities(&features).unwrap();
        let right = shares.rows().enumerate().filter(|(i, row)| {
            let wanted = row[i / PER_CLASS];
            row.iter().all(|&p| p <= wanted)
        });
        let right = right.count() as f64 / features.len() as f64;
        // A reference of another oracle is seen as nothing in particular.
        assert!(right > 0.98, "{right}");
        // Below 36: it was trained on blurred pictures and is seldom sure.
        let score = InceptionScore::of(&shares, 1).unwrap();
        assert!((23.0..25.0).contains(&score.value), "{score:?}");
        assert_eq!(score.caution, None);
        let itself = Frechet::of_features(&features, &features).unwrap();
        assert!(itself.value < 1e-9, "{itself:?}");
    }
}
