//! What a matrix product does with its results.

use super::lanes::{Lanes, PANEL, load};

/// What is done with a product `y` on its way out.
#[derive(Clone, Copy, Debug)]
pub enum Epilogue<'a> {
    /// `out = y`.
    Store,
    /// `out = silu(y)`.
    Silu,
    /// `out = gelu(y)`, tanh form.
    Gelu,
    /// `out += y`.
    Add,
    /// `out += gate * y`, with `gate: [n]`.
    AddGated(&'a [f32]),
}

impl Epilogue<'_> {
    /// Whether it does not read what was in `out`, so that sums may wait there.
    pub(crate) fn replaces(self) -> bool {
        !matches!(self, Epilogue::Add | Epilogue::AddGated(_))
    }

    /// Writes rows of 16, `stride` apart, from products `y` of columns from `column` on.
    #[inline(always)]
    pub(crate) fn apply<const M: usize>(
        &self,
        out: &mut [f32],
        stride: usize,
        column: usize,
        y: &[Lanes; M],
    ) {
        let rows = out.chunks_mut(stride).map(|row| &mut row[..PANEL]).zip(y);
        match self {
            // Activations follow as a pass of their own, see `PackedWeight::apply`.
            Epilogue::Store | Epilogue::Silu | Epilogue::Gelu => {
                rows.for_each(|(to, y)| to.copy_from_slice(y));
            }
            Epilogue::Add => {
                for (to, y) in rows {
                    let mut z = load(to);
                    for j in 0..PANEL {
                        z[j] += y[j];
                    }
                    to.copy_from_slice(&z);
                }
            }
            Epilogue::AddGated(gate) => {
                let gate = load(&gate[column..(column + PANEL).min(gate.len())]);
                for (to, y) in rows {
                    let mut z = load(to);
                    for j in 0..PANEL {
                        z[j] = gate[j].mul_add(y[j], z[j]);
                    }
                    to.copy_from_slice(&z);
                }
            }
        }
    }
}
