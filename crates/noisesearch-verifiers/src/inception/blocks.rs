//! The parts of Inception-v3 (Szegedy et al. 2015, arXiv 1512.00567) with the pools that the
//! Fréchet inception distance was defined with.
//!
//! ```text
//! unit(x)  = relu(gamma (conv(x) - mean) / sqrt(var + 1e-3) + beta)
//! mixed(x) = every branch of x, side by side
//! ```

use candle_core::{Result, Tensor};
use noisesearch_models::layers::{
    Activation, Conv2d, Geometry, Loaded, Source, activate, channels_first, channels_last,
};

/// Summand in the norms' square roots.
const EPS: f32 = 1e-3;

/// A convolution in which the batch norm behind it is folded, then a ReLU.
#[derive(Debug)]
pub struct Unit(Conv2d);

impl Unit {
    /// Takes `conv` and `bn`.
    pub fn load(mut s: Source, [inputs, outputs]: [usize; 2], geometry: Geometry) -> Loaded<Self> {
        let [height, width] = geometry.kernel;
        let mut weight = s
            .at("conv")
            .floats("weight", &[outputs, inputs, height, width])?;
        let mut norm = s.at("bn");
        let mut take = |name: &str| norm.floats(name, &[outputs]);
        let (gamma, beta) = (take("weight")?, take("bias")?);
        let (mean, var) = (take("running_mean")?, take("running_var")?);
        let mut bias = beta;
        let rows = weight.chunks_exact_mut(inputs * height * width);
        for (i, (row, bias)) in rows.zip(&mut bias).enumerate() {
            let scale = gamma[i] / (var[i] + EPS).sqrt();
            *bias -= mean[i] * scale;
            row.iter_mut().for_each(|w| *w *= scale);
        }
        Ok(Self(Conv2d::new(&s, weight, bias, geometry)?))
    }

    /// `x: [b, h, w, inputs]` to `[b, h', w', outputs]`, none below 0.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        activate(&self.0.forward(x)?, Activation::Relu)
    }
}

/// A pool over 3x3 windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// The mean of the pixels that are there; same size.
    Mean,
    /// The largest of the pixels that are there; same size.
    Max,
    /// The largest, of windows two pixels apart; a border that fills no window is left out.
    Halve,
}

impl Pool {
    /// `x: [b, h, w, c]`, none below 0.
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        let x = channels_first(x)?;
        let (_, _, h, w) = x.dims4()?;
        let padded = || x.pad_with_zeros(2, 1, 1)?.pad_with_zeros(3, 1, 1);
        let y = match self {
            Self::Halve => x.max_pool2d_with_stride(3, 2)?,
            // What is pooled comes from a ReLU, so that zeros at the border are never the largest.
            Self::Max => padded()?.max_pool2d_with_stride(3, 1)?,
            Self::Mean => {
                let there = |n: usize, i: usize| 3 - usize::from(i == 0) - usize::from(i + 1 == n);
                let pixels = (0..h * w).map(|i| (there(h, i / w) * there(w, i % w)) as f32);
                let factors: Vec<f32> = pixels.map(|pixels| 9.0 / pixels).collect();
                let factors = Tensor::from_vec(factors, (1, 1, h, w), x.device())?;
                let mean = padded()?.avg_pool2d_with_stride(3, 1)?;
                mean.broadcast_mul(&factors.to_dtype(x.dtype())?)?
            }
        };
        channels_last(&y)
    }
}

/// Name of a unit, its outputs and its window.
type Step = (&'static str, usize, Geometry);

/// One way through a block: a pool, units one after another, and two units side by side.
struct Plan {
    pool: Option<Pool>,
    steps: Vec<Step>,
    fork: Vec<Step>,
}

/// Units one after another.
fn chain(steps: impl Into<Vec<Step>>) -> Plan {
    Plan {
        pool: None,
        steps: steps.into(),
        fork: vec![],
    }
}

/// A pool, then one unit of 1x1, or none.
fn pooled(pool: Pool, outputs: usize) -> Plan {
    let unit = (outputs > 0).then_some(("branch_pool", outputs, ONE));
    Plan {
        pool: Some(pool),
        ..chain(Vec::from_iter(unit))
    }
}

const ONE: Geometry = Geometry::square(1, 1, 0);
const THREE: Geometry = Geometry::square(3, 1, 1);
const FIVE: Geometry = Geometry::square(5, 1, 2);
const HALVE: Geometry = Geometry::square(3, 2, 0);
/// A line of `n` pixels, and a column.
const fn line(n: usize) -> Geometry {
    Geometry {
        kernel: [1, n],
        stride: 1,
        before: [0, n / 2],
        after: [0, n / 2],
    }
}
const fn column(n: usize) -> Geometry {
    Geometry {
        kernel: [n, 1],
        stride: 1,
        before: [n / 2, 0],
        after: [n / 2, 0],
    }
}

/// A kind of block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 35x35 pixels; `pool` outputs behind the mean.
    A {
        /// Outputs behind the mean.
        pool: usize,
    },
    /// To 17x17.
    ToSeventeen,
    /// 17x17; `narrow` channels inside the branches of 7x7.
    C {
        /// Channels inside the branches.
        narrow: usize,
    },
    /// To 8x8.
    ToEight,
    /// 8x8.
    E {
        /// Before the last branch.
        pool: Pool,
    },
}

impl Kind {
    fn plan(self) -> Vec<Plan> {
        match self {
            Self::A { pool } => vec![
                chain([("branch1x1", 64, ONE)]),
                chain([("branch5x5_1", 48, ONE), ("branch5x5_2", 64, FIVE)]),
                chain([
                    ("branch3x3dbl_1", 64, ONE),
                    ("branch3x3dbl_2", 96, THREE),
                    ("branch3x3dbl_3", 96, THREE),
                ]),
                pooled(Pool::Mean, pool),
            ],
            Self::ToSeventeen => vec![
                chain([("branch3x3", 384, HALVE)]),
                chain([
                    ("branch3x3dbl_1", 64, ONE),
                    ("branch3x3dbl_2", 96, THREE),
                    ("branch3x3dbl_3", 96, HALVE),
                ]),
                pooled(Pool::Halve, 0),
            ],
            Self::C { narrow: n } => vec![
                chain([("branch1x1", 192, ONE)]),
                chain([
                    ("branch7x7_1", n, ONE),
                    ("branch7x7_2", n, line(7)),
                    ("branch7x7_3", 192, column(7)),
                ]),
                chain([
                    ("branch7x7dbl_1", n, ONE),
                    ("branch7x7dbl_2", n, column(7)),
                    ("branch7x7dbl_3", n, line(7)),
                    ("branch7x7dbl_4", n, column(7)),
                    ("branch7x7dbl_5", 192, line(7)),
                ]),
                pooled(Pool::Mean, 192),
            ],
            Self::ToEight => vec![
                chain([("branch3x3_1", 192, ONE), ("branch3x3_2", 320, HALVE)]),
                chain([
                    ("branch7x7x3_1", 192, ONE),
                    ("branch7x7x3_2", 192, line(7)),
                    ("branch7x7x3_3", 192, column(7)),
                    ("branch7x7x3_4", 192, HALVE),
                ]),
                pooled(Pool::Halve, 0),
            ],
            Self::E { pool } => vec![
                chain([("branch1x1", 320, ONE)]),
                Plan {
                    fork: vec![
                        ("branch3x3_2a", 384, line(3)),
                        ("branch3x3_2b", 384, column(3)),
                    ],
                    ..chain([("branch3x3_1", 384, ONE)])
                },
                Plan {
                    fork: vec![
                        ("branch3x3dbl_3a", 384, line(3)),
                        ("branch3x3dbl_3b", 384, column(3)),
                    ],
                    ..chain([("branch3x3dbl_1", 448, ONE), ("branch3x3dbl_2", 384, THREE)])
                },
                pooled(pool, 192),
            ],
        }
    }
}

/// Branches of one input, side by side.
#[derive(Debug)]
pub struct Mixed {
    branches: Vec<Branch>,
    outputs: usize,
}

#[derive(Debug)]
struct Branch {
    pool: Option<Pool>,
    steps: Vec<Unit>,
    fork: Vec<Unit>,
}

impl Mixed {
    /// Takes the tensors of a block of `inputs` channels.
    pub fn load(mut s: Source, inputs: usize, kind: Kind) -> Loaded<Self> {
        let (mut branches, mut outputs) = (Vec::new(), 0);
        for plan in kind.plan() {
            let mut width = inputs;
            let mut steps = Vec::with_capacity(plan.steps.len());
            for (name, out, geometry) in plan.steps {
                steps.push(Unit::load(s.at(name), [width, out], geometry)?);
                width = out;
            }
            let mut fork = Vec::with_capacity(plan.fork.len());
            outputs += if plan.fork.is_empty() { width } else { 0 };
            for (name, out, geometry) in plan.fork {
                fork.push(Unit::load(s.at(name), [width, out], geometry)?);
                outputs += out;
            }
            branches.push(Branch {
                pool: plan.pool,
                steps,
                fork,
            });
        }
        Ok(Self { branches, outputs })
    }

    /// Channels of the result.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `x: [b, h, w, inputs]`, none below 0, to `[b, h', w', outputs]`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut parts = Vec::new();
        for branch in &self.branches {
            let mut y = match branch.pool {
                Some(pool) => pool.forward(x)?,
                None => x.clone(),
            };
            for unit in &branch.steps {
                y = unit.forward(&y)?;
            }
            if branch.fork.is_empty() {
                parts.push(y);
            } else {
                for unit in &branch.fork {
                    parts.push(unit.forward(&y)?);
                }
            }
        }
        Tensor::cat(&parts, 3)
    }
}
