//! What a GPU does around matrix products in one pass over memory each: calls of `kernels.cu`.
//!
//! A function here turns a layer's tensors into a [`Call`], which tells the kernel, its threads
//! and its arguments. A program built with `cuda` launches it; the tests run the same call on the
//! CPU (`emulate.rs`) and compare it with our CPU kernels.

#[cfg(test)]
mod emulate;
#[cfg(feature = "cuda")]
mod launch;
#[cfg(test)]
mod tests;

use crate::nn::activation::Activation;
use candle_core::{DType, Result, Tensor, bail};
use std::fmt;

/// Threads of a block; `kernels.cu` is compiled for at most as many.
const THREADS: usize = 256;
/// Threads that run in step, and threads of a row that is not long.
const WARP: usize = 32;
/// Rows of up to this many numbers are the work of one warp.
const SHORT: usize = 1024;
/// Bytes that a thread moves at once.
const PACK_BYTES: usize = 16;

/// One launch of a kernel.
#[derive(Debug)]
pub(super) struct Call {
    kernel: &'static str,
    /// The number format for which the kernel was compiled.
    format: DType,
    blocks: usize,
    /// Threads of a block, `[x, y]`.
    threads: [usize; 2],
    /// What comes out is the first argument.
    shape: Vec<usize>,
    out: DType,
    /// The others.
    args: Vec<Arg>,
}

#[derive(Debug)]
enum Arg {
    Tensor(Tensor),
    /// A tensor that is not there.
    Absent,
    Count(usize),
    Real(f32),
}

/// How a kernel's threads divide its work.
enum Work {
    /// Rows of so many numbers, each the work of a warp or a block.
    Rows(usize, usize),
    /// Rows of so many numbers, of which a thread has one pack.
    Packs(usize, usize),
    /// So many blocks.
    Blocks(usize),
}

/// Numbers of a pack in this format.
fn wide(format: DType) -> usize {
    PACK_BYTES / format.size_in_bytes()
}

/// Whether there are kernels for this number format, and rows of `width` numbers are whole packs.
fn fits(format: DType, width: usize) -> bool {
    matches!(format, DType::F32 | DType::BF16 | DType::F16) && width.is_multiple_of(wide(format))
}

/// Whether `x`, on whose rows `width` numbers belong together, is the work of these kernels.
pub(super) fn takes(x: &Tensor, width: usize) -> bool {
    #[cfg(test)]
    let here = x.device().is_cuda() || emulate::stands_in();
    #[cfg(not(test))]
    let here = x.device().is_cuda();
    here && fits(x.dtype(), width) && x.elem_count() > 0
}

/// Numbers of a row of `x`.
pub(super) fn width(x: &Tensor) -> usize {
    x.dims().last().copied().unwrap_or(1)
}

impl Call {
    /// A kernel for the number format of `x`, whose result has this shape.
    fn new(kernel: &'static str, x: &Tensor, shape: &[usize], work: Work) -> Result<Self> {
        let format = x.dtype();
        let (blocks, threads) = match work {
            Work::Rows(rows, width) if width <= SHORT => {
                let rows_each = THREADS / WARP;
                (rows.div_ceil(rows_each), [WARP, rows_each])
            }
            Work::Rows(rows, _) => (rows, [THREADS, 1]),
            Work::Packs(rows, width) => {
                let packs = rows * width / wide(format);
                (packs.div_ceil(THREADS), [THREADS, 1])
            }
            Work::Blocks(blocks) => (blocks, [THREADS, 1]),
        };
        // Kernels count threads in 32 bits, and blocks in 31.
        if blocks == 0 || blocks > u32::MAX as usize / THREADS {
            bail!("`{kernel}` cannot be done in {blocks} blocks")
        }
        Ok(Self {
            kernel,
            format,
            blocks,
            threads,
            shape: shape.to_vec(),
            out: format,
            args: Vec::new(),
        })
    }

    /// A result in f32, whatever the format.
    fn in_f32(mut self) -> Self {
        self.out = DType::F32;
        self
    }

    /// A tensor of this format whose numbers lie one behind another, the first where a pack may
    /// begin.
    fn tensor(self, x: &Tensor, shape: &[usize]) -> Result<Self> {
        let format = self.format;
        let first = x.layout().start_offset() * format.size_in_bytes();
        let x = match x.is_contiguous() && first.is_multiple_of(PACK_BYTES) {
            true => x.clone(),
            false => x.force_contiguous()?,
        };
        self.given(x, format, shape)
    }

    /// A tensor of this format, if there is one.
    fn maybe(mut self, x: Option<&Tensor>, shape: &[usize]) -> Result<Self> {
        match x {
            Some(x) => self.tensor(x, shape),
            None => {
                self.args.push(Arg::Absent);
                Ok(self)
            }
        }
    }

    /// A contiguous tensor in f32.
    fn floats(self, x: &Tensor, shape: &[usize]) -> Result<Self> {
        self.given(x.contiguous()?, DType::F32, shape)
    }

    /// A tensor as it lies.
    fn given(mut self, x: Tensor, format: DType, shape: &[usize]) -> Result<Self> {
        if x.dims() != shape || x.dtype() != format {
            bail!("`{}` wants {format:?} {shape:?} and got {x:?}", self.kernel)
        }
        self.args.push(Arg::Tensor(x));
        Ok(self)
    }

    fn counts(mut self, counts: &[usize]) -> Self {
        self.args.extend(counts.iter().map(|&n| Arg::Count(n)));
        self
    }

    fn reals(mut self, reals: &[f32]) -> Self {
        self.args.extend(reals.iter().map(|&x| Arg::Real(x)));
        self
    }

    /// Runs it on the device of its tensors.
    pub fn launch(&self) -> Result<Tensor> {
        #[cfg(test)]
        if emulate::stands_in() {
            return emulate::run(self);
        }
        #[cfg(feature = "cuda")]
        return launch::launch(self);
        #[cfg(not(feature = "cuda"))]
        bail!("{self} needs a program built with the feature `cuda`")
    }
}

/// What a launch that failed is called.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (blocks, [x, y]) = (self.blocks, self.threads);
        let (format, out, shape) = (self.format, self.out, &self.shape);
        write!(
            f,
            "kernel `{}` for {format:?}, {blocks} blocks of {x}x{y} threads",
            self.kernel
        )?;
        write!(f, ", to {shape:?} in {out:?}")?;
        for arg in &self.args {
            match arg {
                Arg::Tensor(x) => write!(f, ", {:?}", x.shape())?,
                Arg::Absent => write!(f, ", none")?,
                Arg::Count(n) => write!(f, ", {n}")?,
                Arg::Real(x) => write!(f, ", {x}")?,
            }
        }
        Ok(())
    }
}

/// A tensor whose rows lie evenly, and how far apart they are: as it is where that is so, else a
/// copy. Rows begin where a pack may begin. The one row of a vector is 0 apart from the next.
fn by_rows(x: &Tensor) -> Result<(Tensor, usize)> {
    let (dims, strides) = (x.dims(), x.stride());
    let width = width(x);
    let outer = dims.len() - 1;
    let apart = if outer == 0 { 0 } else { strides[outer - 1] };
    let even = (1..outer).all(|i| strides[i - 1] == strides[i] * dims[i]);
    let bytes = x.dtype().size_in_bytes();
    let begins = |number: usize| (number * bytes).is_multiple_of(PACK_BYTES);
    match strides[outer] == 1 && even && begins(x.layout().start_offset()) && begins(apart) {
        true => Ok((x.clone(), apart)),
        false => Ok((x.force_contiguous()?, if outer == 0 { 0 } else { width })),
    }
}

/// Rows of `x` and numbers of a row.
fn rows(x: &Tensor) -> Result<[usize; 2]> {
    match (x.elem_count(), width(x)) {
        (0, _) => bail!("there is no kernel for an empty tensor, {x:?}"),
        (count, width) => Ok([count / width, width]),
    }
}

/// `(plus + scale) * norm(x) + shift` with `scale` and `shift` `[channels]`, or for the images of
/// a batch, `[b, channels]`.
pub(super) fn layer_norm(
    x: &Tensor,
    [scale, shift]: [&Tensor; 2],
    plus: f32,
    eps: f32,
) -> Result<Call> {
    let [rows, channels] = rows(x)?;
    let (images, shape) = match scale.rank() {
        1 => (1, vec![channels]),
        _ => (x.dim(0)?, vec![x.dim(0)?, channels]),
    };
    let ((scale, apart), (shift, other)) = (by_rows(scale)?, by_rows(shift)?);
    let (scale, shift, apart) = match apart == other {
        true => (scale, shift, apart),
        false => (scale.contiguous()?, shift.contiguous()?, channels),
    };
    Call::new("layer_norm", x, x.dims(), Work::Rows(rows, channels))?
        .tensor(x, x.dims())?
        .given(scale, x.dtype(), &shape)?
        .given(shift, x.dtype(), &shape)
        .map(|call| call.counts(&[rows, channels, rows / images, apart]))
        .map(|call| call.reals(&[plus, eps]))
}

/// `scale * x / sqrt(mean(x^2) + eps)` over every `scale.len()` numbers of a row.
pub(super) fn rms_norm(x: &Tensor, scale: &Tensor, eps: f32) -> Result<Call> {
    let channels = scale.elem_count();
    let [tokens, width] = rows(x)?;
    let (lying, apart) = by_rows(x)?;
    let heads = width / channels;
    let work = Work::Rows(tokens * heads, channels);
    Call::new("rms_norm", x, x.dims(), work)?
        .given(lying, x.dtype(), x.dims())?
        .tensor(scale, &[channels])
        .map(|call| call.counts(&[tokens * heads, channels, heads, apart]))
        .map(|call| call.reals(&[eps]))
}

/// `softmax(scale * scores + bias)` over the keys of `scores: [b, heads, queries, keys]`, with
/// `bias: [1 or heads, 1 or queries, keys]` in f32.
pub(super) fn softmax(scores: &Tensor, bias: Option<&Tensor>, scale: f32) -> Result<Call> {
    let (b, heads, queries, keys) = scores.dims4()?;
    let rows = b * heads * queries;
    let call = Call::new("softmax", scores, scores.dims(), Work::Rows(rows, keys))?;
    let mut call = call.tensor(scores, scores.dims())?;
    let mut apart = [0, 0];
    match bias {
        None => call.args.push(Arg::Absent),
        Some(bias) => {
            let (of_heads, of_queries, _) = bias.dims3()?;
            if of_heads > 1 {
                apart[0] = of_queries * keys;
            }
            if of_queries > 1 {
                apart[1] = keys;
            }
            call = call.floats(bias, &[of_heads, of_queries, keys])?;
        }
    }
    let counts = [rows, keys, queries, heads, apart[0], apart[1]];
    Ok(call.counts(&counts).reals(&[scale]))
}

/// `f(x + bias)` with `bias: [channels]`, or for the images of a batch `[b, channels]`; without a
/// function, `x + bias`.
pub(super) fn activate(
    x: &Tensor,
    bias: Option<&Tensor>,
    function: Option<Activation>,
) -> Result<Call> {
    let [rows, channels] = rows(x)?;
    let call = Call::new("activate", x, x.dims(), Work::Packs(rows, channels))?;
    let call = call.tensor(x, x.dims())?;
    let (call, tokens, apart) = match bias {
        Some(bias) if bias.rank() == 2 => {
            let ((bias, apart), b) = (by_rows(bias)?, x.dim(0)?);
            (
                call.given(bias, x.dtype(), &[b, channels])?,
                rows / b,
                apart,
            )
        }
        _ => (call.maybe(bias, &[channels])?, rows, 0),
    };
    Ok(call.counts(&[rows, channels, tokens, apart, number(function)]))
}

/// `value * f(gate)` of `x + bias`, whose rows are a value and a gate.
pub(super) fn gated(x: &Tensor, bias: Option<&Tensor>, function: Activation) -> Result<Call> {
    let [rows, width] = rows(x)?;
    let mut shape = x.dims().to_vec();
    *shape.last_mut().unwrap_or(&mut 0) = width / 2;
    Call::new("gated", x, &shape, Work::Packs(rows, width / 2))?
        .tensor(x, x.dims())?
        .maybe(bias, &[width])
        .map(|call| call.counts(&[rows, width / 2, number(Some(function))]))
}

/// `x + gate * (y + bias)` with `gate: [b, channels]`, one row an image.
pub(super) fn join(
    x: &Tensor,
    y: &Tensor,
    gate: Option<&Tensor>,
    bias: Option<&Tensor>,
) -> Result<Call> {
    let [rows, channels] = rows(x)?;
    let call = Call::new("join", x, x.dims(), Work::Packs(rows, channels))?
        .tensor(x, x.dims())?
        .tensor(y, x.dims())?;
    let (call, tokens, apart) = match gate.map(by_rows).transpose()? {
        None => (call.maybe(None, &[])?, rows, 0),
        Some((gate, apart)) => {
            let b = x.dim(0)?;
            (
                call.given(gate, x.dtype(), &[b, channels])?,
                rows / b,
                apart,
            )
        }
    };
    call.maybe(bias, &[channels])
        .map(|call| call.counts(&[rows, channels, tokens, apart]))
}

/// Turns neighbours in `x: [b, tokens, channels]` by angles with these cosines and sines, `[tokens,
/// head_dim / 2]`.
pub(super) fn rotary(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Call> {
    let [rows, channels] = rows(x)?;
    let (tokens, half) = cos.dims2()?;
    Call::new("rotary", x, x.dims(), Work::Packs(rows, channels))?
        .tensor(x, x.dims())?
        .floats(cos, &[tokens, half])?
        .floats(sin, &[tokens, half])
        .map(|call| call.counts(&[rows, channels, tokens, half]))
}

/// A group norm's weights and constants.
pub(super) struct Groups<'a> {
    /// `[channels]`.
    pub scale: &'a Tensor,
    /// `[channels]`.
    pub shift: &'a Tensor,
    pub groups: usize,
    pub eps: f32,
}

/// The pixels of an image over which one thread has a channel's moments.
fn part_of(pixels: usize) -> usize {
    (pixels / 512).clamp(16, 128)
}

/// Group norm of `x: [b, .., channels]`, then a function. Its three calls are done by `run`.
pub(super) fn group_norm(
    x: &Tensor,
    norm: &Groups,
    function: Option<Activation>,
    run: impl Fn(&Call) -> Result<Tensor>,
) -> Result<Tensor> {
    let ([rows, channels], b) = (rows(x)?, x.dim(0)?);
    let (pixels, groups) = (rows / b, norm.groups);
    let part = part_of(pixels);
    let parts = pixels.div_ceil(part);
    let shape = [b, parts, 2, channels];
    let call = Call::new("moments", x, &shape, Work::Packs(b * parts, channels))?
        .in_f32()
        .tensor(x, x.dims())?
        .counts(&[b, pixels, channels, part]);
    let moments = run(&call)?;
    let call = Call::new("fit", x, &[b, 2, channels], Work::Blocks(b * groups))?
        .in_f32()
        .floats(&moments, &shape)?
        .tensor(norm.scale, &[channels])?
        .tensor(norm.shift, &[channels])?
        .counts(&[groups, pixels, channels, part])
        .reals(&[norm.eps]);
    let fit = run(&call)?;
    let call = Call::new("fitted", x, x.dims(), Work::Packs(rows, channels))?
        .tensor(x, x.dims())?
        .floats(&fit, &[b, 2, channels])?
        .counts(&[rows, channels, pixels, number(function)]);
    run(&call)
}

/// The number of a function in `kernels.cu`.
fn number(function: Option<Activation>) -> usize {
    match function {
        Some(Activation::Silu) => 0,
        Some(Activation::Gelu) => 1,
        Some(Activation::GeluTanh) => 2,
        Some(Activation::QuickGelu) => 3,
        Some(Activation::Relu) => 4,
        None => 5,
    }
}
