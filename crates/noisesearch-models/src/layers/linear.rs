//! `y = x · weightᵀ + bias` over the last dimension.

use super::floats::{PART, Summand, floats, on_cpu, share};
use super::{Activation, Loaded, Source, SumOrder, activate, add, add_gated, fused, gated};
use crate::nn::gemm::{Epilogue, PackedWeight, Windows};
use crate::nn::isa::Isa;
use candle_core::{D, Result, Tensor, bail};
use rayon::prelude::*;

/// A linear layer.
#[derive(Debug)]
pub struct Linear {
    weight: Weight,
    inputs: usize,
    outputs: usize,
}

#[derive(Debug)]
enum Weight {
    Packed(PackedWeight),
    /// The weight `[inputs, outputs]` and the bias.
    Plain(Tensor, Option<Tensor>),
}

impl Linear {
    /// Takes `weight: [outputs, inputs]` and `bias: [outputs]`.
    pub fn load(mut s: Source, inputs: usize, outputs: usize) -> Loaded<Self> {
        let weight = s.floats("weight", &[outputs, inputs])?;
        let bias = s.floats("bias", &[outputs])?;
        Self::new(&s, weight, bias, inputs)
    }

    /// Takes `weight: [outputs, inputs]`.
    pub fn unbiased(mut s: Source, inputs: usize, outputs: usize) -> Loaded<Self> {
        let weight = s.floats("weight", &[outputs, inputs])?;
        Self::new(&s, weight, vec![], inputs)
    }

    /// Takes a convolution whose kernel is as large as its stride, `weight: [outputs, channels,
    /// patch, patch]`, as a layer over patches `[channels * patch * patch]`; `biased` tells
    /// whether there is a `bias: [outputs]`.
    pub fn patches(
        mut s: Source,
        [channels, patch]: [usize; 2],
        outputs: usize,
        biased: bool,
    ) -> Loaded<Self> {
        let weight = s.floats("weight", &[outputs, channels, patch, patch])?;
        let bias = match biased {
            true => s.floats("bias", &[outputs])?,
            false => vec![],
        };
        Self::new(&s, weight, bias, channels * patch * patch)
    }

    /// Several layers of one input as one: `names` under `s`, each of `outputs`, side by side in
    /// the result. `biased` tells whether they have biases.
    pub fn fused(
        mut s: Source,
        names: &[&str],
        [inputs, outputs]: [usize; 2],
        biased: bool,
    ) -> Loaded<Self> {
        let size = outputs * inputs;
        let (mut weight, mut bias) = (vec![0.0; names.len() * size], Vec::new());
        for (i, name) in names.iter().enumerate() {
            let mut s = s.at(name);
            let part = s.floats("weight", &[outputs, inputs])?;
            if !s.is_hollow() {
                weight[i * size..][..size].copy_from_slice(&part);
            }
            if biased {
                bias.extend(s.floats("bias", &[outputs])?);
            }
        }
        Self::new(&s, weight, bias, inputs)
    }

    /// From `weight: [outputs, inputs]` and `bias: [outputs]` (empty for none), for the place of
    /// `source`.
    pub fn new(source: &Source, weight: Vec<f32>, bias: Vec<f32>, inputs: usize) -> Loaded<Self> {
        let outputs = weight.len() / inputs;
        let weight = if source.place().is_cpu() {
            let packed = PackedWeight::new(&weight, &bias, outputs, inputs);
            Weight::Packed(source.keep(packed))
        } else {
            let bias = match bias.is_empty() {
                true => None,
                false => Some(source.send(bias, &[outputs])?),
            };
            let mut turned = vec![0.0; weight.len()];
            let rows = weight.chunks_exact(inputs).enumerate();
            for (i, row) in rows.take_while(|_| !source.is_hollow()) {
                for (j, &w) in row.iter().enumerate() {
                    turned[j * outputs + i] = w;
                }
            }
            Weight::Plain(source.send(turned, &[inputs, outputs])?, bias)
        };
        Ok(Self {
            weight,
            inputs,
            outputs,
        })
    }

    /// The order of its products if its weight is in bf16 on the CPU.
    pub fn order(&self) -> Option<SumOrder> {
        match &self.weight {
            Weight::Packed(weight) => weight.order(),
            Weight::Plain(..) => None,
        }
    }

    /// Features of the result.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x: [.., inputs]` to `[.., outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Weight::Packed(weight) => self.packed(weight, x, None, None),
            Weight::Plain(weight, bias) => finished(self.product(weight, x)?, bias.as_ref(), None),
        }
    }

    /// The same, added to `y: [.., outputs]`.
    pub fn added(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        match &self.weight {
            Weight::Packed(weight) => self.packed(weight, x, None, Some(y)),
            Weight::Plain(weight, bias) => {
                let product = self.product(weight, x)?;
                if fused::takes(&product, self.outputs) {
                    return fused::join(y, &product, None, bias.as_ref())?.launch();
                }
                add(&finished(product, bias.as_ref(), None)?, y)
            }
        }
    }

    /// The same times a gate, added to a stream: [`add_gated`]. `x` is gone before that.
    pub fn added_gated(&self, x: Tensor, stream: &Tensor, gate: &Tensor) -> Result<Tensor> {
        if let Weight::Plain(weight, bias) = &self.weight {
            let product = self.product(weight, &x)?;
            drop(x);
            if fused::takes(&product, self.outputs) {
                return fused::join(stream, &product, Some(gate), bias.as_ref())?.launch();
            }
            return add_gated(stream, gate, &finished(product, bias.as_ref(), None)?);
        }
        let y = self.forward(&x)?;
        drop(x);
        add_gated(stream, gate, &y)
    }

    /// The same, then an activation.
    pub fn activated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        match &self.weight {
            Weight::Packed(weight) => self.packed(weight, x, Some(activation), None),
            Weight::Plain(weight, bias) => {
                finished(self.product(weight, x)?, bias.as_ref(), Some(activation))
            }
        }
    }

    /// The same, of which one half opens the other: [`gated`], `[.., outputs / 2]`.
    pub fn gated(&self, x: &Tensor, activation: Activation) -> Result<Tensor> {
        if let Weight::Plain(weight, bias) = &self.weight {
            let product = self.product(weight, x)?;
            if fused::takes(&product, self.outputs / 2) {
                return fused::gated(&product, bias.as_ref(), activation)?.launch();
            }
            return gated(&finished(product, bias.as_ref(), None)?, activation);
        }
        gated(&self.forward(x)?, activation)
    }

    fn packed(
        &self,
        weight: &PackedWeight,
        x: &Tensor,
        activation: Option<Activation>,
        plus: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (k, n) = (self.inputs, self.outputs);
        if x.dim(D::Minus1)? != k || !on_cpu(x) {
            bail!("a linear layer of {k} inputs on the CPU was given {x:?}")
        }
        let mut shape = x.dims().to_vec();
        *shape.last_mut().unwrap_or(&mut 0) = n;
        if let Some(y) = plus.filter(|y| y.dims() != shape) {
            bail!("a linear layer with a result {shape:?} was to be added to {y:?}")
        }
        let rows = x.elem_count() / k;
        let (isa, part) = (Isa::best(), share(rows).min(PART));
        let mut out = vec![0.0; rows * n];
        let (x, plus) = (x.contiguous()?, plus.map(Tensor::contiguous).transpose()?);
        let (reading, adding) = (
            x.storage_and_layout(),
            plus.as_ref().map(Tensor::storage_and_layout),
        );
        let summand = Summand(adding.as_ref().map(floats).transpose()?);
        let parts = floats(&reading)?.par_chunks(part * k);
        parts
            .zip(out.par_chunks_mut(part * n))
            .enumerate()
            .for_each(|(i, (x, out))| {
                weight.apply(isa, Windows::rows(x, k), out, Epilogue::Store);
                if let Some(activation) = activation {
                    activation.apply(isa, out);
                }
                summand.add(out, i * part * n, n);
            });
        Tensor::from_vec(out, shape, x.device())
    }

    /// `x: [.., inputs]` times the weight, `[.., outputs]`.
    fn product(&self, weight: &Tensor, x: &Tensor) -> Result<Tensor> {
        let mut shape = x.dims().to_vec();
        let rows = x.elem_count() / self.inputs;
        *shape.last_mut().unwrap_or(&mut 0) = self.outputs;
        x.reshape((rows, self.inputs))?
            .matmul(weight)?
            .reshape(shape)
    }
}

/// A product plus its bias, then an activation, elsewhere than in f32 on the CPU.
pub(crate) fn finished(
    product: Tensor,
    bias: Option<&Tensor>,
    activation: Option<Activation>,
) -> Result<Tensor> {
    if bias.is_none() && activation.is_none() {
        return Ok(product);
    }
    if fused::takes(&product, fused::width(&product)) {
        return fused::activate(&product, bias, activation)?.launch();
    }
    let y = match bias {
        Some(bias) => product.broadcast_add(bias)?,
        None => product,
    };
    match activation {
        Some(activation) => activate(&y, activation),
        None => Ok(y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::{close, each_place, file, here, values};
    use candle_core::Device;

    #[test]
    fn linear_layers_follow_their_formula_on_both_routes() {
        let (w, b) = (values(&[10, 6], 1), values(&[10], 2));
        let x = values(&[2, 5, 6], 3);
        let want = x
            .reshape((10, 6))
            .and_then(|x| x.matmul(&w.t()?)?.broadcast_add(&b)?.reshape((2, 5, 10)))
            .unwrap();
        each_place(|place| {
            let mut weights = file(&[("a.weight", &w), ("a.bias", &b)]);
            let layer = Linear::load(Source::new(&mut weights, place).at("a"), 6, 10).unwrap();
            close(&layer.forward(&here(place, &x)).unwrap(), &want, 1e-6);
            weights.finish().unwrap();
        });
    }

    #[test]
    fn a_layer_can_be_added_to_a_stream() {
        let (w, b) = (values(&[5, 6], 1), values(&[5], 2));
        let (x, y) = (values(&[1, 19, 6], 3), values(&[1, 19, 5], 4));
        each_place(|place| {
            let mut weights = file(&[("weight", &w), ("bias", &b)]);
            let layer = Linear::load(Source::new(&mut weights, place), 6, 5).unwrap();
            let [x, y] = [&x, &y].map(|x| here(place, x));
            let want = (layer.forward(&x).unwrap() + &y).unwrap();
            close(&layer.added(&x, &y).unwrap(), &want, 0.0);
            assert!(layer.added(&x, &x).is_err());
        });
    }

    #[test]
    fn fused_layers_stand_side_by_side() {
        let (v, w) = (values(&[4, 6], 1), values(&[4, 6], 2));
        let x = values(&[3, 6], 3);
        let parts = [x.matmul(&v.t().unwrap()), x.matmul(&w.t().unwrap())];
        let parts = parts.map(|part| part.unwrap());
        let want = Tensor::cat(&parts, 1).unwrap();
        each_place(|place| {
            let mut weights = file(&[("q.weight", &v), ("k.weight", &w)]);
            let root = Source::new(&mut weights, place);
            let layer = Linear::fused(root, &["q", "k"], [6, 4], false).unwrap();
            close(&layer.forward(&here(place, &x)).unwrap(), &want, 1e-6);
        });
    }

    #[test]
    fn another_number_of_inputs_is_an_error() {
        let mut weights = file(&[("weight", &values(&[4, 6], 1))]);
        let place = super::super::Place::cpu();
        let layer = Linear::unbiased(Source::new(&mut weights, &place), 6, 4).unwrap();
        let x = Tensor::zeros((2, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert!(layer.forward(&x).is_err());
    }
}
