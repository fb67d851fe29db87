use super::*;
use crate::layers::testing::values;

/// Every pixel of a latent becomes `factor * factor` equal ones.
struct Affine {
    weights: [[f64; 4]; 3],
    bias: [f64; 3],
    factor: usize,
    bend: f64,
}

impl Decoder for Affine {
    fn decode(&self, latents: &Tensor) -> Result<Tensor> {
        let (b, c, h, w) = latents.dims4()?;
        let z = latents.flatten_all()?.to_vec1::<f32>()?;
        let f = self.factor;
        let mut out = vec![];
        for latent in z.chunks(c * h * w) {
            for (weights, bias) in self.weights.iter().zip(self.bias) {
                for i in 0..h * f * w * f {
                    let p = i / (w * f) / f * w + i % (w * f) / f;
                    let z = |c: usize| f64::from(latent[c * h * w + p]);
                    let sum: f64 = (0..c).map(|c| weights[c] * z(c)).sum();
                    out.push((bias + sum + self.bend * z(0) * z(1)) as f32);
                }
            }
        }
        Tensor::from_vec(out, (b, 3, h * f, w * f), latents.device())
    }
}

fn affine(factor: usize, bend: f64) -> Affine {
    Affine {
        weights: [
            [0.11, -0.03, 0.02, 0.07],
            [0.05, 0.09, -0.08, 0.01],
            [-0.02, 0.04, 0.06, 0.1],
        ],
        bias: [0.5, 0.4, 0.55],
        factor,
        bend,
    }
}

/// Seen to fail without the bias's column in the system.
#[test]
fn a_linear_decoder_is_recovered() {
    let decoder = affine(8, 0.0);
    let map = Linear::fit(&decoder, 4).unwrap();
    for (row, (weights, bias)) in map
        .rows
        .iter()
        .zip(decoder.weights.iter().zip(decoder.bias))
    {
        let wanted = weights.iter().copied().chain([bias]);
        for (got, want) in row.iter().zip(wanted) {
            // Pictures are f32.
            assert!((got - want).abs() < 1e-7, "{got} {want}");
        }
    }
    assert!((map.explained_share() - 1.0).abs() < 1e-10);
}

#[test]
fn what_bends_is_explained_in_part() {
    let share = Linear::fit(&affine(2, 0.1), 4).unwrap().explained_share();
    assert!((0.3..0.95).contains(&share), "{share}");
}

/// A flat latent is decoded to the decoder's own picture, in 8 bits, whatever its size.
#[test]
fn flat_latents_give_the_decoders_picture() {
    let decoder = affine(4, 0.0);
    let map = Linear::fit(&decoder, 4).unwrap();
    let z = values(&[2, 4, 1, 1], 3).broadcast_as((2, 4, 3, 5)).unwrap();
    let z = z.contiguous().unwrap();
    let got = map.decode(&z).unwrap();
    let want = decoder.decode(&z).unwrap().affine(2.0, -1.0).unwrap();
    let want = Pixels.decode(&want).unwrap();
    assert_eq!(got.dims(), [2, 3, 12, 20]);
    let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (got, want) in flat(&got).iter().zip(flat(&want)) {
        assert!((got - want).abs() < 1.5 / 255.0, "{got} {want}");
    }
}

#[test]
fn rows_do_not_see_each_other() {
    let map = Linear::fit(&affine(4, 0.0), 4).unwrap();
    let z = values(&[3, 4, 5, 2], 7);
    let all = map.decode(&z).unwrap();
    for i in 0..3 {
        let one = map.decode(&z.narrow(0, i, 1).unwrap()).unwrap();
        let same = all.narrow(0, i, 1).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(flat(&one), flat(&same));
    }
}

#[test]
fn enlarging_is_linear_between_centres() {
    let mut out = vec![];
    enlarge(&[0.0, 1.0], [1, 2], 2, &mut out);
    assert_eq!(out, [0.0, 0.25, 0.75, 1.0, 0.0, 0.25, 0.75, 1.0]);
}

#[test]
fn pixel_models_and_broken_decoders_are_refused() {
    let error = Linear::fit(&Pixels, 3).unwrap_err();
    assert!(matches!(error, FitError::Pixels { .. }), "{error}");
    let mut broken = affine(2, 0.0);
    broken.bias[1] = f64::NAN;
    let error = Linear::fit(&broken, 4).unwrap_err();
    assert!(matches!(error, FitError::Singular), "{error}");
}
