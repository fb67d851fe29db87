//! The way between latents and tokens.

use candle_core::{Result, Tensor};

/// `[b, c, h, w]` to `[b, h/patch * w/patch, c * patch * patch]`, line by line: a token's features
/// are in the order channel, line, column, as in the weight of a convolution.
pub(crate) fn cut(x: &Tensor, patch: usize) -> Result<Tensor> {
    let (b, c, h, w) = x.dims4()?;
    let (lines, columns) = (h / patch, w / patch);
    x.reshape(&[b, c, lines, patch, columns, patch])?
        .permute([0, 2, 4, 1, 3, 5])?
        .reshape((b, lines * columns, c * patch * patch))
}

/// The inverse of [`cut`], to a latent of `size`: height and width.
pub(crate) fn join(x: &Tensor, [h, w]: [usize; 2], patch: usize) -> Result<Tensor> {
    let (b, _, features) = x.dims3()?;
    let c = features / (patch * patch);
    x.reshape(&[b, h / patch, w / patch, c, patch, patch])?
        .permute([0, 3, 1, 4, 2, 5])?
        .reshape((b, c, h, w))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::testing::values;

    #[test]
    fn patches_are_cut_and_joined() {
        let x = values(&[2, 3, 4, 6], 1);
        let tokens = cut(&x, 2).unwrap();
        assert_eq!(tokens.dims(), [2, 6, 12]);
        let at = |c: usize, y: usize, x_: usize| -> f32 {
            x.get(1)
                .and_then(|x| x.get(c)?.get(y)?.get(x_)?.to_scalar())
                .unwrap()
        };
        let token: Vec<f32> = tokens.get(1).and_then(|t| t.get(4)?.to_vec1()).unwrap();
        // Line 1, column 1 of the patches; channel 2, line 1, column 0 inside.
        assert_eq!(token[2 * 4 + 2], at(2, 3, 2));
        let back = join(&tokens, [4, 6], 2).unwrap();
        let bits = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(bits(&back), bits(&x));
    }
}
