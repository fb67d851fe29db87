//! Figures as SVG, and the same as PNG.

pub mod canvas;
pub mod curves;
pub mod frontier;
pub mod heat;
mod png;
pub mod scale;

pub use png::PngError;

/// Width of every figure in pixels: read without zoom in a page of 700.
pub const WIDTH: f64 = 720.0;

/// A finished figure.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// What a screen reader says; plain text.
    title: String,
    /// In pixels.
    height: f64,
    /// SVG elements.
    body: String,
}

/// Colours and letters of a figure that stands alone, on white.
const STYLE: &str = ".paper{fill:#fff}.ink{fill:#1f2328}.soft{fill:#59636e}\
.grid{stroke:#e7eaee;stroke-width:1}.axis{stroke:#8b949e;stroke-width:1}\
text{font-family:Ubuntu,system-ui,sans-serif}.h{font-size:16px}.t{font-size:13px}\
.a{font-size:11.5px}.n{font-size:10.5px}.m{text-anchor:middle}.e{text-anchor:end}";

/// The same for a figure inside a page, which defines the four custom properties.
pub const PAGE_STYLE: &str = "svg.plot{width:100%;max-width:720px;height:auto;display:block}\
.plot .paper{fill:var(--card)}.plot .ink{fill:var(--ink)}.plot .soft{fill:var(--soft)}\
.plot .grid{stroke:var(--line);stroke-width:1}.plot .axis{stroke:var(--soft);stroke-width:1}\
.plot text{font-family:Ubuntu,system-ui,sans-serif}.plot .h{font-size:16px;font-weight:600}\
.plot .t{font-size:13px}.plot .a{font-size:11.5px}.plot .n{font-size:10.5px}\
.plot .m{text-anchor:middle}.plot .e{text-anchor:end}";

impl Drawing {
    /// A file of its own.
    pub fn svg(&self) -> String {
        let head = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg \
                    xmlns=\"http://www.w3.org/2000/svg\"";
        format!(
            "{head} {}<style>{STYLE}</style>{}</svg>\n",
            self.open(),
            self.paper()
        )
    }

    /// An element of a page that has [`PAGE_STYLE`].
    pub fn inline(&self) -> String {
        format!("<svg class=\"plot\" {}{}</svg>", self.open(), self.paper())
    }

    fn open(&self) -> String {
        let title = canvas::escape(&self.title);
        let (width, height) = (WIDTH, self.height);
        format!(
            "width=\"{width}\" height=\"{height:.0}\" viewBox=\"0 0 {width} {height:.0}\" \
             role=\"img\"><title>{title}</title>"
        )
    }

    fn paper(&self) -> String {
        let height = self.height;
        format!(
            "<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height:.0}\"/>{}",
            self.body
        )
    }
}

#[cfg(test)]
mod tests;
