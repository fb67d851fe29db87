//! Where a run's files lie and where its model lives: the part of a spec that names the outside.

use crate::spec::{SpecError, within};
use noisesearch_models::layers::{Place, Products, SumOrder};
use noisesearch_models::limits::SIDE_PIXELS_MAX;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Components that may be replaced: the key of each, and its name in diffusers.
pub const REPLACEABLE: [(&str, &str); 7] = [
    ("vae", "vae"),
    ("unet", "unet"),
    ("transformer", "transformer"),
    ("text-encoder", "text_encoder"),
    ("text-encoder-2", "text_encoder_2"),
    ("tokenizer", "tokenizer"),
    ("tokenizer-2", "tokenizer_2"),
];

/// Files and places of a run. Empty for a model that is part of the program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Files {
    /// Columns of the images in pixels; the model's own when nothing is said.
    pub width: Option<usize>,
    /// Rows of the images in pixels.
    pub height: Option<usize>,
    /// Where the model lives: `cpu`, `cuda:0`, `metal`.
    pub device: Option<String>,
    /// The number format of weights and activations: `f32`, `bf16`, `f16`. On the CPU, where bf16
    /// is that of matrices and their products, a run names the order of summands, too: `bf16-tile`
    /// or `bf16-pair`, so that every processor makes the same images; `int8` there has no orders.
    pub dtype: Option<String>,
    /// The number format of candidates, where it is another one; then the best are made again.
    pub search_dtype: Option<String>,
    /// Files or folders by the names of models, verifiers and components.
    pub weights: BTreeMap<String, PathBuf>,
    /// Passes of the network that run together, for the estimate of memory.
    pub rows: usize,
    /// Bytes of the verifiers' weights that are opened beside the model, for the same.
    pub beside: u64,
}

impl Files {
    /// Refuses sizes, devices and number formats that there are not.
    pub fn check(&self) -> Result<(), SpecError> {
        for (key, side) in [("width", self.width), ("height", self.height)] {
            if let Some(side) = side {
                within(key, side, 1, SIDE_PIXELS_MAX)?;
            }
        }
        self.device_kind()?;
        self.dtype()?;
        self.searching().dtype()?;
        Ok(())
    }

    /// Names the order of summands that bf16 has on this processor. A format of candidates that is
    /// that of the answer is none.
    pub fn settle(&mut self) {
        let on_cpu = self.on_cpu();
        for dtype in [&mut self.dtype, &mut self.search_dtype] {
            if on_cpu && dtype.as_deref() == Some("bf16") {
                *dtype = Some(SumOrder::fastest().name().to_owned());
            }
        }
        if self.search_dtype.as_deref() == Some(self.dtype_name()) {
            self.search_dtype = None;
        }
    }

    /// Whether candidates are made in another number format than the answer.
    pub fn is_ladder(&self) -> bool {
        self.search_dtype.is_some()
    }

    /// Files and place of the candidates.
    pub fn searching(&self) -> Self {
        let mut files = self.clone();
        files.dtype = files.search_dtype.take().or(files.dtype);
        files
    }

    /// The first key that only a model on the disk has.
    pub fn of_disk(&self) -> Option<&'static str> {
        let keys = [
            ("width", self.width.is_some()),
            ("height", self.height.is_some()),
            ("device", self.device.as_deref().is_some_and(|d| d != "cpu")),
            ("dtype", self.dtype.as_deref() == Some("f16")),
            ("search_dtype", self.search_dtype.as_deref() == Some("f16")),
        ];
        let found = keys.iter().find(|(_, given)| *given).map(|(key, _)| *key);
        found.or_else(|| self.parts().next().map(|(part, _)| part))
    }

    /// Components that are replaced, each with its file or folder.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        REPLACEABLE.iter().filter_map(|&(key, part)| {
            let path = self.weights.get(key)?;
            Some((part, path))
        })
    }

    /// Refuses a path for something that a run of this model and these verifiers does not use.
    pub fn check_names(&self, model: &str, verifiers: &[String]) -> Result<(), SpecError> {
        let component = |name: &str| REPLACEABLE.iter().any(|(key, _)| *key == name);
        let used = |name: &str| name == model || verifiers.iter().any(|verifier| verifier == name);
        match self
            .weights
            .keys()
            .find(|name| !component(name) && !used(name))
        {
            None => Ok(()),
            Some(name) => Err(SpecError::Unused {
                name: name.chars().take(80).collect(),
                used: [&[model.to_owned()], verifiers].concat().join(", "),
            }),
        }
    }

    /// What the results are computed with, besides weights: a part of the fingerprint.
    pub fn backend(&self) -> String {
        let device = self.device.as_deref().unwrap_or("cpu");
        let device = device.split(':').next().unwrap_or(device);
        // Kernels of our own round less often than the operations before them did.
        let version = if device == "cuda" { 3 } else { 2 };
        format!("{device}-{}-v{version}", self.dtype_name())
    }

    /// Whether the model lives in the machine's own memory.
    pub fn on_cpu(&self) -> bool {
        matches!(self.device.as_deref(), None | Some("cpu"))
    }

    /// Opens the device.
    pub fn place(&self) -> Result<Place, SpecError> {
        use candle_core::Device;
        let kind = self.device_kind()?;
        let device = match kind {
            Kind::Cpu => Ok(Device::Cpu),
            Kind::Cuda(index) => Place::cuda_device(index),
            Kind::Metal => Device::new_metal(0),
        };
        let device = device.map_err(|error| SpecError::Device {
            name: self.device.clone().unwrap_or_default(),
            problem: match kind.is_built_in() {
                true => error.to_string(),
                false => format!(
                    "this program was built without it; build it with `--features {}`, or use \
                     --device cpu",
                    kind.feature()
                ),
            },
        })?;
        let dtype = self.dtype()?;
        Ok(match self.products() {
            Some(products) => Place::cpu_with(products),
            None => Place::new(device, dtype),
        })
    }

    fn device_kind(&self) -> Result<Kind, SpecError> {
        let name = self.device.as_deref().unwrap_or("cpu");
        let kind = match name.split_once(':') {
            None => match name {
                "cpu" => Some(Kind::Cpu),
                "cuda" => Some(Kind::Cuda(0)),
                "metal" => Some(Kind::Metal),
                _ => None,
            },
            Some(("cuda", index)) => index.parse::<u8>().ok().map(|i| Kind::Cuda(i.into())),
            Some(_) => None,
        };
        kind.ok_or_else(|| SpecError::Unknown {
            what: "device",
            name: name.chars().take(80).collect(),
            known: "cpu, cuda:0, metal".into(),
        })
    }

    fn dtype(&self) -> Result<candle_core::DType, SpecError> {
        use candle_core::DType;
        match self.dtype_name() {
            "f32" => Ok(DType::F32),
            "bf16" => Ok(DType::BF16),
            "f16" => Ok(DType::F16),
            _ if self.products().is_some() => Ok(DType::F32),
            other => Err(SpecError::Unknown {
                what: "number format",
                name: other.chars().take(80).collect(),
                known: self.formats().into(),
            }),
        }
    }

    /// How the CPU multiplies, if the number format names a way of its own.
    fn products(&self) -> Option<Products> {
        let name = self.dtype.as_deref().filter(|_| self.on_cpu())?;
        Products::named(name)
    }

    /// Number formats that the device has.
    fn formats(&self) -> &'static str {
        match self.on_cpu() {
            true => "f32, bf16, f16, int8",
            false => "f32, bf16, f16",
        }
    }

    /// The number format: that of the kernels on the CPU, half as large elsewhere.
    pub fn dtype_name(&self) -> &str {
        let usual = if self.on_cpu() { "f32" } else { "bf16" };
        self.dtype.as_deref().unwrap_or(usual)
    }
}

/// A kind of device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Cpu,
    Cuda(usize),
    Metal,
}

impl Kind {
    /// Whether the program was built for it.
    fn is_built_in(self) -> bool {
        match self {
            Self::Cpu => true,
            Self::Cuda(_) => cfg!(feature = "cuda"),
            Self::Metal => cfg!(feature = "metal"),
        }
    }

    /// The feature that builds it in.
    fn feature(self) -> &'static str {
        match self {
            Self::Metal => "metal",
            Self::Cpu | Self::Cuda(_) => "cuda",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(device: Option<&str>, dtype: Option<&str>) -> Files {
        Files {
            device: device.map(str::to_owned),
            dtype: dtype.map(str::to_owned),
            ..Files::default()
        }
    }

    /// Once pictures of up to 8192 pixels were written and could not be read again.
    #[test]
    fn the_largest_picture_is_read_back() {
        let side = SIDE_PIXELS_MAX;
        // Bytes that no compression makes fewer.
        let noise = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[3];
        let picture = crate::picture::Picture {
            width: side,
            height: side,
            channels: 3,
            pixels: (0..3 * side * side).map(noise).collect(),
        };
        let bytes = picture.to_png(&[]).unwrap();
        assert!(bytes.len() as u64 <= crate::limits::IMAGE_BYTES_MAX);
        let (read, _) = crate::picture::Picture::from_png(&bytes).unwrap();
        assert!(read.pixels == picture.pixels);
        let too_large = Files {
            width: Some(side + 1),
            ..Files::default()
        };
        let error = too_large.check().unwrap_err().to_string();
        assert!(error.contains("between 1 and 4096"), "{error}");
    }

    #[test]
    fn devices_and_formats_have_names() {
        assert_eq!(files(None, None).backend(), "cpu-f32-v2");
        assert_eq!(files(Some("cuda:1"), None).backend(), "cuda-bf16-v3");
        assert_eq!(files(Some("metal"), Some("f16")).backend(), "metal-f16-v2");
        for name in [
            "", "gpu", "cuda:", "cuda:-1", "cuda:999", "metal:0", "cpu:1",
        ] {
            let error = files(Some(name), None).check().unwrap_err();
            assert!(
                matches!(error, SpecError::Unknown { what: "device", .. }),
                "{name}"
            );
        }
        let error = files(None, Some("f64")).check().unwrap_err().to_string();
        assert_eq!(
            error,
            "unknown number format `f64`; known: f32, bf16, f16, int8"
        );
        let mut rough = files(None, None);
        rough.search_dtype = Some("f64".into());
        assert_eq!(rough.check().unwrap_err().to_string(), error);
        assert_eq!(files(None, Some("int8")).backend(), "cpu-int8-v2");
        let error = files(Some("cuda:0"), Some("int8")).check().unwrap_err();
        let error = error.to_string();
        assert_eq!(error, "unknown number format `int8`; known: f32, bf16, f16");
    }

    #[test]
    fn a_ladder_has_two_formats() {
        let settled = |dtype: Option<&str>, search: &str| {
            let mut files = files(None, dtype);
            files.search_dtype = Some(search.into());
            files.settle();
            (files.is_ladder(), files.searching().backend())
        };
        assert_eq!(settled(None, "f32"), (false, "cpu-f32-v2".into()));
        assert_eq!(
            settled(None, "bf16-pair"),
            (true, "cpu-bf16-pair-v2".into())
        );
        assert_eq!(
            settled(Some("bf16-tile"), "f32"),
            (true, "cpu-f32-v2".into())
        );
        assert!(!settled(Some("bf16"), "bf16").0);
    }

    #[test]
    fn a_device_that_is_not_built_in_says_so() {
        for (name, feature) in [("cuda:0", "cuda"), ("metal", "metal")] {
            if cfg!(feature = "cuda") || cfg!(feature = "metal") {
                continue;
            }
            let error = files(Some(name), None).place().unwrap_err().to_string();
            let says = format!("build it with `--features {feature}`");
            assert!(error.starts_with(&format!("device {name}: ")), "{error}");
            assert!(error.contains(&says), "{error}");
        }
    }
}
