//! `grid.png`: the baseline beside the best, then the next candidates, each under its label.

use crate::font;
use crate::picture::Picture;

/// One picture and the lines below it.
pub struct Tile {
    /// The picture.
    pub picture: Picture,
    /// Lines of text, the first one a title.
    pub lines: Vec<String>,
}

const COLUMNS_MAX: usize = 4;
/// A tile's picture is enlarged by a whole factor to about this many pixels.
const PICTURE_PX: usize = 192;
const MARGIN_PX: usize = 16;
/// Pixels of a dot of the font.
const DOT_PX: usize = 2;
const LINE_PX: usize = (font::HEIGHT + 4) * DOT_PX;
const PAPER: u8 = 250;
const INK: u8 = 40;

/// The grid of `tiles`, in reading order.
pub fn grid(tiles: Vec<Tile>) -> Picture {
    let large = |tile: Tile| {
        let factor = (PICTURE_PX / tile.picture.width.max(1)).max(1);
        Tile {
            picture: tile.picture.enlarged(factor),
            ..tile
        }
    };
    let tiles: Vec<Tile> = tiles.into_iter().map(large).collect();
    let most = |f: &dyn Fn(&Tile) -> usize| tiles.iter().map(f).max().unwrap_or(0);
    let cell_width = most(&|tile| tile.picture.width) + MARGIN_PX;
    let lines = most(&|tile| tile.lines.len());
    let cell_height = most(&|tile| tile.picture.height) + lines * LINE_PX + MARGIN_PX;
    let columns = tiles.len().clamp(1, COLUMNS_MAX);
    let rows = tiles.len().div_ceil(columns);
    let width = columns * cell_width + MARGIN_PX;
    let height = rows * cell_height + MARGIN_PX;
    let pixels = vec![PAPER; width * height * 3];
    let mut paper = Picture {
        width,
        height,
        channels: 3,
        pixels,
    };
    for (index, tile) in tiles.iter().enumerate() {
        let left = MARGIN_PX + index % columns * cell_width;
        let top = MARGIN_PX + index / columns * cell_height;
        paste(&mut paper, &tile.picture, [left, top]);
        for (line, text) in tile.lines.iter().enumerate() {
            let top = top + tile.picture.height + line * LINE_PX + 4 * DOT_PX;
            write(&mut paper, text, [left, top], cell_width - MARGIN_PX);
        }
    }
    paper
}

/// Copies an RGB picture to where it fits.
fn paste(paper: &mut Picture, other: &Picture, [left, top]: [usize; 2]) {
    for y in 0..other.height {
        let from = &other.pixels[y * other.width * 3..(y + 1) * other.width * 3];
        let at = ((top + y) * paper.width + left) * 3;
        paper.pixels[at..at + from.len()].copy_from_slice(from);
    }
}

/// Writes `text`, cut at `width` pixels.
fn write(paper: &mut Picture, text: &str, [left, top]: [usize; 2], width: usize) {
    font::draw(text, |x, y| {
        if (x + 1) * DOT_PX > width {
            return;
        }
        for dot in 0..DOT_PX * DOT_PX {
            let x = left + x * DOT_PX + dot % DOT_PX;
            let y = top + y * DOT_PX + dot / DOT_PX;
            let at = (y * paper.width + x) * 3;
            paper.pixels[at..at + 3].fill(INK);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_fill_rows_of_four_and_long_labels_are_cut() {
        let tile = |channels| Tile {
            picture: Picture {
                width: 32,
                height: 32,
                channels,
                pixels: vec![7; 1024 * channels],
            },
            lines: vec!["best".into(), "a very long label that cannot fit".into()],
        };
        let grid = grid([1, 3, 1, 3, 1].map(tile).into());
        assert_eq!(
            (grid.width, grid.height),
            (16 + 4 * 208, 16 + 2 * (192 + 44 + 16))
        );
        let at = |x: usize, y: usize| grid.pixels[(y * grid.width + x) * 3];
        assert_eq!(
            (at(16, 16), at(16 + 191, 16), at(16 + 192, 16)),
            (7, 7, PAPER)
        );
        assert!((0..grid.height).all(|y| at(grid.width - 1, y) == PAPER));
        assert!(grid.pixels.contains(&INK));
    }
}
