//! A drawing as PNG, by the renderer `resvg` with a font of our own: the same on every machine.

use super::Drawing;
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use std::sync::Arc;

/// Pixels of the PNG for one of the SVG.
const ENLARGED: f32 = 2.0;

/// A drawing that cannot be made a PNG.
#[derive(Debug, thiserror::Error)]
pub enum PngError {
    /// The renderer does not read it.
    #[error("cannot render the figure \"{title}\": {problem}")]
    Svg {
        /// Of the figure.
        title: String,
        /// What the renderer says.
        problem: String,
    },
    /// Too large for memory, or for the format.
    #[error("cannot render the figure \"{0}\": it is too large; show fewer arms or measures")]
    Size(String),
}

impl Drawing {
    /// The picture, twice as large as the SVG, as the bytes of a PNG file.
    pub fn png(&self) -> Result<Vec<u8>, PngError> {
        let mut options = Options {
            font_family: FAMILY.into(),
            ..Options::default()
        };
        let fonts = Arc::make_mut(&mut options.fontdb);
        fonts.load_font_data(epaint_default_fonts::UBUNTU_LIGHT.to_vec());
        fonts.set_sans_serif_family(FAMILY);
        let tree = Tree::from_str(&self.svg(), &options).map_err(|error| PngError::Svg {
            title: self.title.clone(),
            problem: error.to_string(),
        })?;
        let size = || PngError::Size(self.title.clone());
        let pixels = tree
            .size()
            .to_int_size()
            .scale_by(ENLARGED)
            .ok_or_else(size)?;
        let mut picture = Pixmap::new(pixels.width(), pixels.height()).ok_or_else(size)?;
        let transform = Transform::from_scale(ENLARGED, ENLARGED);
        resvg::render(&tree, transform, &mut picture.as_mut());
        picture.encode_png().map_err(|_| size())
    }
}

/// As the font calls itself.
const FAMILY: &str = "Ubuntu";
