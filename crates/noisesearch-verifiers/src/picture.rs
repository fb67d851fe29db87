//! Eight-bit pictures and their PNG form.

use candle_core::{Device, Tensor};
use std::io::Cursor;

/// Sides of a picture that is read back, at most.
const SIDE_MAX: u32 = 4096;

/// Grey or RGB pixels.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// `[height, width, channels]`, row by row.
    pub pixels: Vec<u8>,
}

/// A PNG that cannot be written or is not one of ours.
#[derive(Debug, thiserror::Error)]
pub enum PictureError {
    /// The bytes do not form a PNG.
    #[error("damaged PNG: {0}")]
    Decode(#[from] png::DecodingError),
    /// The encoder refused.
    #[error("cannot encode PNG: {0}")]
    Encode(#[from] png::EncodingError),
    /// A PNG, but of a kind that this program does not write.
    #[error(
        "a PNG of an unexpected kind: {0}; 8-bit grey and RGB up to {SIDE_MAX}x{SIDE_MAX} are read"
    )]
    Kind(String),
}

/// A text chunk: key and text.
pub type Text = (String, String);

impl Picture {
    /// One picture a row of `images`: `[b, 1|3, h, w]` f32, values outside `[0, 1]` clipped.
    pub fn from_images(images: &Tensor) -> candle_core::Result<Vec<Self>> {
        let (rows, channels, height, width) = images.dims4()?;
        let values: Vec<f32> = images.flatten_all()?.to_vec1()?;
        let plane = height * width;
        let picture = |row: usize| {
            let row = &values[row * channels * plane..(row + 1) * channels * plane];
            let byte = |i: usize| {
                let value = row[(i % channels) * plane + i / channels];
                (value.clamp(0.0, 1.0) * 255.0).round() as u8
            };
            Self {
                width,
                height,
                channels,
                pixels: (0..channels * plane).map(byte).collect(),
            }
        };
        Ok((0..rows).map(picture).collect())
    }

    /// `[1, 1|3, h, w]` f32 in `[0, 1]`; [`Picture::from_images`] gives the picture back.
    pub fn to_image(&self) -> candle_core::Result<Tensor> {
        let (width, height, channels) = (self.width, self.height, self.channels);
        let plane = width * height;
        let value = |i: usize| f32::from(self.pixels[i % plane * channels + i / plane]) / 255.0;
        let values: Vec<f32> = (0..channels * plane).map(value).collect();
        Tensor::from_vec(values, (1, channels, height, width), &Device::Cpu)
    }

    /// The PNG with text chunks, Latin-1 ones as `tEXt` and others as `iTXt`.
    pub fn to_png(&self, texts: &[Text]) -> Result<Vec<u8>, PictureError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_color(if self.channels == 1 {
            png::ColorType::Grayscale
        } else {
            png::ColorType::Rgb
        });
        for (key, text) in texts {
            if text.chars().all(|c| (c as u32) < 256) {
                encoder.add_text_chunk(key.clone(), text.clone())?;
            } else {
                encoder.add_itxt_chunk(key.clone(), text.clone())?;
            }
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(bytes)
    }

    /// Reads what [`Picture::to_png`] wrote.
    pub fn from_png(bytes: &[u8]) -> Result<(Self, Vec<Text>), PictureError> {
        let limits = png::Limits { bytes: 64 << 20 };
        let mut reader = png::Decoder::new_with_limits(Cursor::new(bytes), limits).read_info()?;
        let info = reader.info();
        let (width, height) = (info.width, info.height);
        let channels = match (info.color_type, info.bit_depth) {
            (png::ColorType::Grayscale, png::BitDepth::Eight) => 1,
            (png::ColorType::Rgb, png::BitDepth::Eight) => 3,
            other => return Err(PictureError::Kind(format!("{other:?}"))),
        };
        if width.max(height) > SIDE_MAX {
            return Err(PictureError::Kind(format!("{width}x{height}")));
        }
        let (width, height) = (width as usize, height as usize);
        let mut pixels = vec![0; width * height * channels];
        reader.next_frame(&mut pixels)?;
        let info = reader.info();
        let latin = info.uncompressed_latin1_text.iter();
        let mut texts: Vec<Text> = latin
            .map(|chunk| (chunk.keyword.clone(), chunk.text.clone()))
            .collect();
        for chunk in &info.utf8_text {
            texts.push((chunk.keyword.clone(), chunk.get_text()?));
        }
        Ok((
            Self {
                width,
                height,
                channels,
                pixels,
            },
            texts,
        ))
    }

    /// This picture `factor` times as large, in RGB.
    pub fn enlarged(&self, factor: usize) -> Self {
        let (width, height) = (self.width * factor, self.height * factor);
        let mut pixels = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let at = (y / factor * self.width + x / factor) * self.channels;
                let from = &self.pixels[at..at + self.channels];
                pixels.extend((0..3).map(|c| from[c % self.channels]));
            }
        }
        Self {
            width,
            height,
            channels: 3,
            pixels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn png_keeps_pixels_and_texts() {
        for channels in [1, 3] {
            let pixels = (0..4 * 5 * channels).map(|i| (i * 7 % 256) as u8).collect();
            let picture = Picture {
                width: 5,
                height: 4,
                channels,
                pixels,
            };
            let texts = [("parameters", "caf\u{e9}"), ("noisesearch", "{\"π\": 3}")]
                .map(|(key, text)| (key.to_owned(), text.to_owned()));
            let bytes = picture.to_png(&texts).unwrap();
            let (back, read) = Picture::from_png(&bytes).unwrap();
            assert!(back == picture);
            assert_eq!(read, texts);
        }
    }

    #[test]
    fn a_damaged_png_is_an_error() {
        let picture = Picture {
            width: 2,
            height: 2,
            channels: 1,
            pixels: vec![1, 2, 3, 4],
        };
        let bytes = picture.to_png(&[]).unwrap();
        for cut in 0..bytes.len() - 12 {
            assert!(Picture::from_png(&bytes[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn tensors_become_interleaved_bytes() {
        let data: Vec<f32> = (0..6).map(|i| i as f32 / 255.0).collect();
        let images = Tensor::from_vec(data, (1, 3, 1, 2), &candle_core::Device::Cpu).unwrap();
        let pictures = Picture::from_images(&images).unwrap();
        assert_eq!(pictures[0].pixels, [0, 2, 4, 1, 3, 5]);
        let back = pictures[0].to_image().unwrap();
        assert_eq!(back.dims(), images.dims());
        let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&back), values(&images));
    }
}
