//! Rows of a batch that share one encoding, so that what depends on it alone is computed once.

use crate::denoiser::Encoded;
use candle_core::{Result, Tensor, bail};

/// Neighbouring rows of one encoding.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// Their encoding.
    pub encoded: &'a Encoded,
    /// How many they are.
    pub rows: usize,
}

/// The runs of a batch, in its order; encodings are the same when they are one object.
pub(crate) fn runs<'a>(rows: &[&'a Encoded]) -> Vec<Run<'a>> {
    let same = |a: &&Encoded, b: &&Encoded| std::ptr::eq(*a, *b);
    let run = |rows: &[&'a Encoded]| Run {
        encoded: rows[0],
        rows: rows.len(),
    };
    rows.chunk_by(same).map(run).collect()
}

/// `x: [runs, ..]`, an entry a run, to `[rows, ..]`, an entry a row.
pub(crate) fn spread(x: &Tensor, runs: &[Run]) -> Result<Tensor> {
    if runs.iter().all(|run| run.rows == 1) {
        return Ok(x.clone());
    }
    let row = |(i, run): (usize, &Run)| {
        let mut shape = x.dims().to_vec();
        shape[0] = run.rows;
        x.narrow(0, i, 1)?.broadcast_as(shape)
    };
    let rows = runs.iter().enumerate().map(row);
    Tensor::cat(&rows.collect::<Result<Vec<_>>>()?, 0)
}

/// Tensor `index` of every run, which have one shape, stacked: `[runs, ..]`.
pub(crate) fn stack(runs: &[Run], index: usize) -> Result<Tensor> {
    let tensors: Option<Vec<_>> = runs.iter().map(|r| r.encoded.tensors.get(index)).collect();
    match tensors {
        Some(tensors) => Tensor::stack(&tensors, 0),
        None => bail!("an encoding has no tensor {index}; it was made by another model"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn encoded(value: f32) -> Encoded {
        Encoded {
            tensors: vec![Tensor::new(&[value], &Device::Cpu).unwrap()],
        }
    }

    #[test]
    fn rows_of_one_encoding_are_a_run() {
        let (a, b) = (encoded(1.0), encoded(2.0));
        let rows = [&a, &a, &b, &a];
        let runs = runs(&rows);
        let lengths: Vec<usize> = runs.iter().map(|run| run.rows).collect();
        assert_eq!(lengths, [2, 1, 1]);
        let spread = spread(&stack(&runs, 0).unwrap(), &runs).unwrap();
        let values = spread.to_vec2::<f32>().unwrap().concat();
        assert_eq!(values, [1.0, 1.0, 2.0, 1.0]);
        assert!(stack(&runs, 1).is_err());
    }
}
