//! What every verifier must do; its tests call [`verifier`] on pictures of their own.

use crate::verifier::{Samples, Verifier};
use candle_core::{Result, Tensor};
use noisesearch_models::task::Task;

/// Checks `v` on `images: [b, 1|3, h, w]` with values in `[0, 1]`, which also stand in for early
/// predictions: a finite value a row, the same bits for a row alone, among others, in reversed
/// order and repeated, and the same after what a PNG does to a picture.
///
/// # Errors
/// Those of `v`, and those of candle on images of other shapes.
///
/// # Panics
/// If `v` does not conform; the message says how.
pub fn verifier(v: &dyn Verifier, task: &Task, images: &Tensor) -> Result<()> {
    let name = &v.id().name;
    let score = |images: &Tensor| {
        let early = v.early_level().map(|_| images);
        v.score(task, &Samples { images, early })
    };
    let bits = |scores: &[f64]| scores.iter().map(|s| s.to_bits()).collect::<Vec<u64>>();
    let rows = images.dim(0)?;
    let images = images
        .affine(255.0, 0.0)?
        .round()?
        .affine(1.0 / 255.0, 0.0)?;
    let all = score(&images)?;
    assert_eq!(all.len(), rows, "{name}: not one score a row");
    assert!(
        all.iter().all(|s| s.is_finite()),
        "{name}: {all:?} is not finite"
    );
    assert_eq!(
        bits(&score(&images)?),
        bits(&all),
        "{name}: differs when repeated"
    );

    let mut alone = Vec::with_capacity(rows);
    for row in 0..rows {
        alone.extend(score(&images.narrow(0, row, 1)?)?);
    }
    assert_eq!(
        bits(&alone),
        bits(&all),
        "{name}: a row depends on its neighbours"
    );

    let order: Vec<u32> = (0..rows as u32).rev().chain(0..rows as u32).collect();
    let mixed = score(&images.index_select(&Tensor::new(order, images.device())?, 0)?)?;
    let expected: Vec<f64> = all.iter().rev().chain(&all).copied().collect();
    assert_eq!(
        bits(&mixed),
        bits(&expected),
        "{name}: order or duplicates change a score"
    );

    let bytes = images
        .affine(255.0, 0.0)?
        .round()?
        .to_dtype(candle_core::DType::U8)?;
    let read = bytes
        .to_dtype(candle_core::DType::F32)?
        .affine(1.0 / 255.0, 0.0)?;
    assert_eq!(
        bits(&score(&read)?),
        bits(&all),
        "{name}: a PNG round trip changes a score"
    );
    Ok(())
}
