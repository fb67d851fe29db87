//! From packed weights back to plain ones, for going through a layer backwards.

use super::weight::{PackedWeight, Store};

use crate::nn::lanes::PANEL;

impl PackedWeight {
    /// The weight `[outputs, inputs]`, row-major.
    pub fn unpack(&self) -> Vec<f32> {
        let mut weight = vec![0.0; self.outputs * self.inputs];
        let mut copy = |first: usize, panels: &[f32]| {
            let rows = weight.chunks_exact_mut(self.inputs).skip(first);
            for (row, to) in rows.take(panels.len() / self.inputs).enumerate() {
                let panel = &panels[row / PANEL * PANEL * self.inputs..];
                for (i, value) in to.iter_mut().enumerate() {
                    *value = panel[i * PANEL + row % PANEL];
                }
            }
        };
        match &self.panels {
            Store::Wide(panels) => copy(0, panels),
            Store::Bf16(panels) => copy(0, &panels.widened()),
            Store::Int8(panels) => copy(0, &panels.widened()),
        }
        weight
    }

    /// The layer without bias that takes a cotangent of this one's outputs to one of its inputs:
    /// the transposed weight in f32, made when it is first asked for.
    pub fn back(&self) -> &Self {
        self.back.get_or_init(|| Box::new(self.transposed()))
    }

    fn transposed(&self) -> Self {
        let mut transposed = vec![0.0; self.outputs * self.inputs];
        for (output, row) in self.unpack().chunks_exact(self.inputs).enumerate() {
            for (input, &value) in row.iter().enumerate() {
                transposed[input * self.outputs + output] = value;
            }
        }
        Self::new(&transposed, &[], self.inputs, self.outputs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::bf16::Order;
    use crate::nn::testing::wave;

    #[test]
    fn a_weight_comes_out_as_it_went_in() {
        for (outputs, inputs) in [(1, 1), (16, 3), (37, 5), (5, 37)] {
            let weight = wave(outputs * inputs, 2.0);
            let packed = PackedWeight::new(&weight, &vec![9.0; outputs], outputs, inputs);
            assert_eq!(packed.unpack(), weight);
            assert_eq!(packed.back().back().unpack(), weight);
            let element = |o: usize, i: usize| packed.back().unpack()[i * outputs + o];
            assert_eq!(element(outputs - 1, 0), weight[(outputs - 1) * inputs]);
        }
        // Numbers that bf16 holds exactly.
        let weight: Vec<f32> = (0..70).map(|i| i as f32).collect();
        let halved = PackedWeight::new(&weight, &[], 35, 2).in_bf16(Order::Pair);
        assert_eq!(halved.unpack(), weight);
        // A way back that was made before goes with the weight it was made of.
        let rounded = PackedWeight::new(&[1.001], &[], 1, 1);
        assert_eq!(rounded.back().unpack(), [1.001]);
        assert_eq!(rounded.in_bf16(Order::Pair).back().unpack(), [1.0]);
    }
}
