//! From pixels to patches and back.

use super::config::SitConfig;

/// `x: [c, h, w]` -> `[tokens, c * patch * patch]`, a patch being `[c, dy, dx]` as a convolution's
/// weight is.
pub(super) fn cut(config: &SitConfig, x: &[f32], patches: &mut [f32]) {
    for_lines(config, config.patch, |token, (c, dy), pixel| {
        let at = token * config.patch_floats() + (c * config.patch + dy) * config.patch;
        patches[at..at + config.patch].copy_from_slice(&x[pixel..pixel + config.patch]);
    });
}

/// `[tokens, dy, dx, c]` -> `x: [c, h, w]`.
pub(super) fn join(config: &SitConfig, patches: &[f32], x: &mut [f32]) {
    for_lines(config, config.patch, |token, (c, dy), pixel| {
        let at = token * config.patch_floats() + dy * config.patch * config.channels + c;
        let line = patches[at..].iter().step_by(config.channels);
        x[pixel..pixel + config.patch]
            .iter_mut()
            .zip(line)
            .for_each(|(x, &p)| *x = p);
    });
}

/// The transpose of [`cut`]: every value goes back to its pixel.
pub(super) fn uncut(config: &SitConfig, patches: &[f32], x: &mut [f32]) {
    for_lines(config, config.patch, |token, (c, dy), pixel| {
        let at = token * config.patch_floats() + (c * config.patch + dy) * config.patch;
        x[pixel..pixel + config.patch].copy_from_slice(&patches[at..at + config.patch]);
    });
}

/// The transpose of [`join`].
pub(super) fn unjoin(config: &SitConfig, x: &[f32], patches: &mut [f32]) {
    for_lines(config, config.patch, |token, (c, dy), pixel| {
        let at = token * config.patch_floats() + dy * config.patch * config.channels + c;
        let line = patches[at..].iter_mut().step_by(config.channels);
        line.zip(&x[pixel..pixel + config.patch])
            .for_each(|(p, &x)| *p = x);
    });
}

/// Calls `visit(token, (channel, dy), first pixel)` for every line of every patch.
fn for_lines(
    config: &SitConfig,
    patch: usize,
    mut visit: impl FnMut(usize, (usize, usize), usize),
) {
    let (size, across) = (config.input_size, config.input_size / patch);
    for c in 0..config.channels {
        for y in 0..size {
            for column in 0..across {
                let token = y / patch * across + column;
                visit(
                    token,
                    (c, y % patch),
                    (c * size + y) * size + column * patch,
                );
            }
        }
    }
}
