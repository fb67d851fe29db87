//! From finished images to what a vision tower sees: the steps of `preprocessor_config.json`, or of
//! the image processor in `processor_config.json`, where transformers 5 writes it.
//!
//! ```text
//! image [3, h, w] in 0..=255  ->  resize  ->  middle  ->  (x / 255 - mean) / std
//! ```

use crate::resample::{Filter, resize, resize_part};
use candle_core::{DType, Device, Result, Tensor, bail};
use noisesearch_models::checkpoint::Checkpoint;
use noisesearch_models::pipeline::OpenError;
use rayon::prelude::*;
use serde::Deserialize;

/// Means and standard deviations of red, green and blue, of values in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colours {
    /// Means.
    pub mean: [f32; 3],
    /// Standard deviations.
    pub std: [f32; 3],
}

impl Colours {
    /// Of the pictures that CLIP was trained on.
    pub const CLIP: Self = Self {
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        std: [0.268_629_54, 0.261_302_6, 0.275_777_1],
    };
    /// Of ImageNet.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
    /// To `[-1, 1]`.
    pub const SIGNED: Self = Self {
        mean: [0.5; 3],
        std: [0.5; 3],
    };
}

/// How an image becomes a square.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    /// Squashed, as bytes.
    Squash,
    /// Its shorter side resized as bytes, then the middle cut out.
    Shorter {
        /// Length of the shorter side after the resize, at least [`Preprocess::side`].
        to: usize,
        /// Where the middle is when the border is odd.
        middle: Middle,
    },
    /// Its longer side resized, as floats that may leave `[0, 1]`, and black borders. An odd
    /// border is smaller at the top and left.
    Longer,
}

/// Which pixel a cut starts at when `border / 2` is no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Middle {
    /// The one below: transformers.
    Down,
    /// The even one: torchvision, and with it OpenAI's CLIP and open_clip.
    Even,
}

impl Middle {
    fn of(self, border: usize) -> usize {
        match self {
            Self::Down => border / 2,
            Self::Even => (border as f64 / 2.0).round_ties_even() as usize,
        }
    }
}

/// Preprocessing of one tower.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocess {
    /// Height and width of the result.
    pub side: usize,
    /// How an image gets there.
    pub fit: Fit,
    /// The kernel of the resize.
    pub filter: Filter,
    /// What is subtracted and divided by.
    pub colours: Colours,
}

impl Preprocess {
    /// CLIP's in transformers: the shorter side to `side`, bicubic, and the middle of it.
    pub const fn clip(side: usize) -> Self {
        Self {
            side,
            fit: Fit::Shorter {
                to: side,
                middle: Middle::Down,
            },
            filter: Filter::Bicubic,
            colours: Colours::CLIP,
        }
    }

    /// What a `preprocessor_config.json` says; what it leaves out is as in `usual`.
    ///
    /// # Errors
    /// Text that is not such a file, and steps that are not done here.
    pub fn read(text: &[u8], usual: Self) -> std::result::Result<Self, OpenError> {
        let file: File = serde_json::from_slice(text)
            .map_err(|error| unsupported("file", error, "the JSON of an image processor"))?;
        file.steps(usual)
    }

    /// What the files of a network's folder say, as transformers reads them: first
    /// `processor_config.json`, if there is an image processor in it; `usual` where neither says
    /// anything.
    ///
    /// # Errors
    /// Those of [`Preprocess::read`], and of files that cannot be read.
    pub fn of(files: &Checkpoint, usual: Self) -> std::result::Result<Self, OpenError> {
        if let Some(text) = files.file("", "processor_config.json")? {
            let file: Processor = serde_json::from_slice(&text)
                .map_err(|error| unsupported("processor", error, "the JSON of a processor"))?;
            if let Some(file) = file.image_processor {
                return file.steps(usual);
            }
        }
        match files.file("", "preprocessor_config.json")? {
            Some(text) => Self::read(&text, usual),
            None => Ok(usual),
        }
    }

    /// `images: [b, 1|3, h, w]`, multiples of 1/255 in `[0, 1]`, to `[b, 3, side, side]` f32 on the
    /// CPU; grey is repeated.
    pub fn apply(&self, images: &Tensor) -> Result<Tensor> {
        let (b, channels, h, w) = images.dims4()?;
        if ![1, 3].contains(&channels) || h == 0 || w == 0 {
            bail!(
                "images of shape {:?}; [b, 1|3, h, w] are judged",
                images.dims()
            )
        }
        let images = images.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
        let pixels: Vec<f32> = images.flatten_all()?.to_vec1()?;
        let mut out = vec![0.0; b * 3 * self.side * self.side];
        let planes = out.par_chunks_mut(self.side * self.side).enumerate();
        planes.for_each(|(i, out)| {
            let (row, channel) = (i / 3, i % 3);
            let plane = row * channels + channel.min(channels - 1);
            let plane = &pixels[plane * h * w..][..h * w];
            self.fit(plane, [h, w], out);
            let (mean, std) = (self.colours.mean[channel], self.colours.std[channel]);
            out.iter_mut().for_each(|x| *x = (*x - mean) / std);
        });
        Tensor::from_vec(out, (b, 3, self.side, self.side), &Device::Cpu)
    }

    /// One channel in `[0, 1]` of size `from` to `out: [side, side]`.
    fn fit(&self, plane: &[f32], from: [usize; 2], out: &mut [f32]) {
        let square = [self.side; 2];
        let to = self.resized(from);
        if self.fit == Fit::Longer {
            let plane = resize(plane, from, to, self.filter);
            let before = [0, 1].map(|i| (square[i] - to[i]) / 2);
            out.fill(0.0);
            for (line, plane) in plane.chunks_exact(to[1]).enumerate() {
                out[(line + before[0]) * self.side + before[1]..][..to[1]].copy_from_slice(plane);
            }
            return;
        }
        let bytes: Vec<u8> = plane.iter().map(|x| (x * 255.0).round() as u8).collect();
        let middle = match self.fit {
            Fit::Shorter { middle, .. } => middle,
            _ => Middle::Down,
        };
        let cut = [0, 1].map(|i| middle.of(to[i] - square[i]));
        let cut = cut.map(|start| start..start + self.side);
        let bytes = resize_part(&bytes, from, to, cut, self.filter);
        let floats = bytes.iter().map(|&x| f32::from(x) / 255.0);
        out.iter_mut().zip(floats).for_each(|(out, x)| *out = x);
    }

    /// Size of an image after the resize.
    fn resized(&self, [height, width]: [usize; 2]) -> [usize; 2] {
        let (short, long) = (height.min(width), height.max(width));
        match self.fit {
            Fit::Squash => [self.side; 2],
            Fit::Shorter { to, .. } => [height, width].map(|n| match n == short {
                true => to,
                false => to * long / short,
            }),
            Fit::Longer => {
                let scale = self.side as f64 / long as f64;
                [height, width].map(|n| ((n as f64 * scale).round_ties_even() as usize).max(1))
            }
        }
    }
}

/// Longest side that is asked for.
const SIDE_MAX: usize = 2048;

/// The steps as transformers writes them; old files have lengths where new ones have objects.
#[derive(Deserialize)]
struct File {
    size: Option<Size>,
    crop_size: Option<Size>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_rescale: Option<bool>,
    do_normalize: Option<bool>,
    resample: Option<u32>,
    rescale_factor: Option<f64>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
}

/// What is read of a `processor_config.json`.
#[derive(Deserialize)]
struct Processor {
    image_processor: Option<File>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    Shortest { shortest_edge: usize },
    Both { height: usize, width: usize },
}

impl File {
    fn steps(&self, usual: Preprocess) -> std::result::Result<Preprocess, OpenError> {
        let done = [
            ("do_resize", self.do_resize),
            ("do_rescale", self.do_rescale),
            ("do_normalize", self.do_normalize),
        ];
        if let Some((name, _)) = done.iter().find(|(_, done)| *done == Some(false)) {
            return Err(unsupported(name, false, "true"));
        }
        let factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        if (factor * 255.0 - 1.0).abs() > 1e-6 {
            return Err(unsupported("rescale_factor", factor, "1/255"));
        }
        let filter = match self.resample {
            None => usual.filter,
            Some(2) => Filter::Bilinear,
            Some(3) => Filter::Bicubic,
            Some(other) => return Err(unsupported("resample", other, "2 and 3")),
        };
        let colours = Colours {
            mean: self.image_mean.unwrap_or(usual.colours.mean),
            std: self.image_std.unwrap_or(usual.colours.std),
        };
        let numbers = colours.mean.iter().chain(&colours.std);
        if !numbers.clone().all(|x| x.is_finite()) || colours.std.iter().any(|x| *x <= 0.0) {
            return Err(unsupported(
                "image_std",
                format!("{colours:?}"),
                "positive numbers",
            ));
        }
        let (side, fit) = self.fit(usual)?;
        Ok(Preprocess {
            side,
            fit,
            filter,
            colours,
        })
    }

    /// Side of the result, and how an image gets there.
    fn fit(&self, usual: Preprocess) -> std::result::Result<(usize, Fit), OpenError> {
        let Some(size) = self.size else {
            return Ok((usual.side, usual.fit));
        };
        let legal = |what, side: usize| match side {
            1..=SIDE_MAX => Ok(side),
            other => Err(unsupported(what, other, "1 to 2048")),
        };
        let refuse = |what, size: Size| Err(unsupported(what, format!("{size:?}"), "a square"));
        let to = match size {
            Size::Both { height, width } if height != width => return refuse("size", size),
            Size::Side(side) => legal("size", side)?,
            Size::Shortest { shortest_edge } => legal("size", shortest_edge)?,
            Size::Both { height, .. } => legal("size", height)?,
        };
        if !self.do_center_crop.unwrap_or(self.crop_size.is_some()) {
            return match size {
                Size::Both { .. } => Ok((to, Fit::Squash)),
                _ => refuse("size without do_center_crop", size),
            };
        }
        let side = match self.crop_size.unwrap_or(Size::Side(to)) {
            Size::Side(side) => side,
            Size::Both { height, width } if height == width => height,
            other => return refuse("crop_size", other),
        };
        if side == 0 || side > to {
            return Err(unsupported("crop_size", side, "1 up to size"));
        }
        match size {
            // Squashed to the size of the cut: nothing is cut off.
            Size::Both { .. } if side == to => Ok((side, Fit::Squash)),
            Size::Both { .. } => refuse("size with a smaller crop_size", size),
            _ => {
                let middle = Middle::Down;
                Ok((side, Fit::Shorter { to, middle }))
            }
        }
    }
}

fn unsupported(what: &str, found: impl std::fmt::Display, supported: &str) -> OpenError {
    OpenError::Unsupported {
        what: format!("{what} of the image processor"),
        found: found.to_string(),
        supported: supported.to_owned(),
    }
}
