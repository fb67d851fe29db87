//! Two linear layers with an activation between them.

use super::{Activation, Linear, Loaded, Source};
use candle_core::{Result, Tensor};

/// `second(activation(first(x)))`.
#[derive(Debug)]
pub struct Mlp {
    first: Linear,
    second: Linear,
    activation: Activation,
}

impl Mlp {
    /// Takes the two biased layers `names` under `s`, from `sizes[0]` over `sizes[1]` to
    /// `sizes[2]` features.
    pub fn load(
        mut s: Source,
        names: [&str; 2],
        sizes: [usize; 3],
        activation: Activation,
    ) -> Loaded<Self> {
        Ok(Self {
            first: Linear::load(s.at(names[0]), sizes[0], sizes[1])?,
            second: Linear::load(s.at(names[1]), sizes[1], sizes[2])?,
            activation,
        })
    }

    /// `x: [.., sizes[0]]` to `[.., sizes[2]]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.second
            .forward(&self.first.activated(x, self.activation)?)
    }

    /// The same times a gate, added to a stream.
    pub fn added_gated(&self, x: &Tensor, stream: &Tensor, gate: &Tensor) -> Result<Tensor> {
        let inside = self.first.activated(x, self.activation)?;
        self.second.added_gated(inside, stream, gate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, each_place, file, here, values};

    #[test]
    fn the_activation_is_between_the_layers() {
        let [v, b] = [values(&[6, 3], 1), values(&[6], 2)];
        let [w, c] = [values(&[2, 6], 3), values(&[2], 4)];
        let x = values(&[5, 3], 5);
        let linear = |x: &Tensor, w: &Tensor, b: &Tensor| x.matmul(&w.t()?)?.broadcast_add(b);
        let want = linear(&x, &v, &b)
            .and_then(|inside| linear(&inside.silu()?, &w, &c))
            .unwrap();
        each_place(|place| {
            let tensors = [
                ("a.weight", &v),
                ("a.bias", &b),
                ("b.weight", &w),
                ("b.bias", &c),
            ];
            let mut weights = file(&tensors);
            let root = Source::new(&mut weights, place);
            let mlp = Mlp::load(root, ["a", "b"], [3, 6, 2], Activation::Silu).unwrap();
            let x = here(place, &x);
            close(&mlp.forward(&x).unwrap(), &want, 1e-6);
            weights.finish().unwrap();
        });
    }
}
