//! The kernels' arithmetic and indices, run by the emulator and held to our CPU kernels.

use super::emulate::{instead, is_there, run};
use super::*;
use crate::layers::testing::{close, file, values};
use crate::layers::{
    Attend, Before, Conv2d, Geometry, GroupNorm, LayerNorm, Linear, Place, RmsNorm, Rotary, Source,
    activate as activate_here, add_gated, add_to_pixels, attention, gated as gated_here,
};
use candle_core::{D, Device};

/// Number formats, and how far a result may be from that of f32, in the largest: a little more than
/// one rounding.
const FORMATS: [(DType, f64); 3] = [(DType::F32, 2e-6), (DType::F16, 6e-4), (DType::BF16, 5e-3)];

const ALL: [Activation; 5] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::QuickGelu,
    Activation::Relu,
];

/// Numbers as they are after rounding to a format, there and in f32.
fn rounded(x: Tensor, format: DType) -> [Tensor; 2] {
    let there = x.to_dtype(format).unwrap();
    let here = there.to_dtype(DType::F32).unwrap();
    [there, here]
}

fn random(shape: &[usize], seed: usize, format: DType) -> [Tensor; 2] {
    rounded(values(shape, seed), format)
}

/// Parts of the rows of a larger tensor, as queries lie among keys and values.
fn part(x: &Tensor, first: usize, width: usize) -> Tensor {
    x.narrow(D::Minus1, first, width).unwrap()
}

#[test]
fn layer_norms_are_those_of_the_cpu() {
    if !is_there() {
        return;
    }
    // Rows of a warp, and of a block; numbers of rows that fill no block.
    for (channels, tokens) in [(24, 5), (1024, 3), (1032, 2), (3072, 1)] {
        for (format, tolerance) in FORMATS {
            let x = (values(&[2, tokens, channels], 1) + 3.0).unwrap();
            let [x, x_here] = rounded(x, format);
            let [w, w_here] = random(&[channels], 2, format);
            let [b, b_here] = random(&[channels], 3, format);
            let mut weights = file(&[("weight", &w_here), ("bias", &b_here)]);
            let place = Place::cpu();
            let norm = LayerNorm::load(Source::new(&mut weights, &place), channels, 1e-5).unwrap();
            let got = run(&layer_norm(&x, [&w, &b], 0.0, 1e-5).unwrap()).unwrap();
            close(&got, &norm.forward(&x_here).unwrap(), tolerance);
            // Shift and scale are the second and third of six parts.
            let [all, all_here] = random(&[2, 6 * channels], 4, format);
            let of = |all: &Tensor, i: usize| part(all, i * channels, channels);
            let both = [&of(&all, 2), &of(&all, 1)];
            let got = run(&layer_norm(&x, both, 1.0, 1e-5).unwrap()).unwrap();
            let (shift, scale) = (of(&all_here, 1), of(&all_here, 2));
            let want = norm.modulated(&x_here, &shift, &scale).unwrap();
            close(&got, &want, tolerance);
        }
    }
}

#[test]
fn rms_norms_of_heads_are_those_of_the_cpu() {
    if !is_there() {
        return;
    }
    for (dim, heads) in [(16, 3), (128, 2), (2048, 1)] {
        for (format, tolerance) in FORMATS {
            let [qkv, qkv_here] = random(&[2, 5, 3 * heads * dim], 1, format);
            let [w, w_here] = random(&[dim], 2, format);
            let mut weights = file(&[("weight", &w_here)]);
            let place = Place::cpu();
            let root = Source::new(&mut weights, &place);
            let norm = RmsNorm::load(root, "weight", dim, 1e-6).unwrap();
            let width = heads * dim;
            let got = run(&rms_norm(&part(&qkv, width, width), &w, 1e-6).unwrap()).unwrap();
            let want = norm.by_heads(&part(&qkv_here, width, width)).unwrap();
            close(&got, &want, tolerance);
        }
    }
}

#[test]
fn softmax_follows_its_formula() {
    if !is_there() {
        return;
    }
    for keys in [7, 77, 1500] {
        for (format, tolerance) in FORMATS {
            let (b, heads, queries) = (2, 2, 3);
            let x = (values(&[b, heads, queries, keys], 1) * 8.0).unwrap();
            let [x, x_here] = rounded(x, format);
            let bias = |h: usize, q: usize| {
                let bias = values(&[h, q, keys], 2).affine(2.0, 0.0).unwrap();
                let hidden = values(&[h, q, keys], 3).ge(0.8f32).unwrap();
                let hidden = hidden.to_dtype(DType::F32).unwrap();
                (bias + (hidden * -1e9).unwrap()).unwrap()
            };
            let biases = [
                None,
                Some(bias(1, 1)),
                Some(bias(heads, queries)),
                Some(bias(1, queries)),
                Some(bias(heads, 1)),
            ];
            for bias in biases {
                let got = run(&softmax(&x, bias.as_ref(), 0.3).unwrap()).unwrap();
                let scores = (x_here.to_dtype(DType::F64).unwrap() * f64::from(0.3f32)).unwrap();
                let scores = match bias {
                    None => scores,
                    Some(bias) => scores
                        .broadcast_add(&bias.to_dtype(DType::F64).unwrap())
                        .unwrap(),
                };
                let top = scores.max_keepdim(D::Minus1).unwrap();
                let e = scores.broadcast_sub(&top).unwrap().exp().unwrap();
                let want = e.broadcast_div(&e.sum_keepdim(D::Minus1).unwrap());
                close(&got, &want.unwrap(), tolerance);
            }
        }
    }
}

#[test]
fn activations_are_those_of_the_cpu() {
    if !is_there() {
        return;
    }
    for (format, tolerance) in FORMATS {
        // More packs than a block has threads, and not a multiple of them.
        let [x, x_here] = rounded((values(&[3, 37, 48], 1) * 6.0).unwrap(), format);
        let [bias, bias_here] = random(&[48], 2, format);
        let biased = x_here.broadcast_add(&bias_here).unwrap();
        let got = run(&activate(&x, Some(&bias), None).unwrap()).unwrap();
        close(&got, &biased, tolerance);
        let [all, all_here] = random(&[3, 2 * 48], 3, format);
        let got = run(&activate(&x, Some(&part(&all, 48, 48)), None).unwrap()).unwrap();
        let image = x_here.reshape((3, 1, 37, 48)).unwrap();
        let want = add_to_pixels(&image, &part(&all_here, 48, 48)).unwrap();
        close(&got, &want.reshape((3, 37, 48)).unwrap(), tolerance);
        for f in ALL {
            let got = run(&activate(&x, None, Some(f)).unwrap()).unwrap();
            close(&got, &activate_here(&x_here, f).unwrap(), tolerance);
            let got = run(&activate(&x, Some(&bias), Some(f)).unwrap()).unwrap();
            close(&got, &activate_here(&biased, f).unwrap(), tolerance);
            let got = run(&gated(&x, None, f).unwrap()).unwrap();
            close(&got, &gated_here(&x_here, f).unwrap(), tolerance);
            let got = run(&gated(&x, Some(&bias), f).unwrap()).unwrap();
            close(&got, &gated_here(&biased, f).unwrap(), tolerance);
        }
    }
}

#[test]
fn branches_join_the_stream_as_on_the_cpu() {
    if !is_there() {
        return;
    }
    for (format, tolerance) in FORMATS {
        let [x, x_here] = random(&[2, 35, 40], 1, format);
        let [y, y_here] = random(&[2, 35, 40], 2, format);
        let [bias, bias_here] = random(&[40], 3, format);
        let [all, all_here] = random(&[2, 3 * 40], 4, format);
        let (gate, gate_here) = (part(&all, 80, 40), part(&all_here, 80, 40));
        let biased = y_here.broadcast_add(&bias_here).unwrap();
        let got = run(&join(&x, &y, None, None).unwrap()).unwrap();
        close(&got, &(&x_here + &y_here).unwrap(), tolerance);
        let got = run(&join(&x, &y, None, Some(&bias)).unwrap()).unwrap();
        close(&got, &(&x_here + &biased).unwrap(), tolerance);
        let got = run(&join(&x, &y, Some(&gate), None).unwrap()).unwrap();
        let want = add_gated(&x_here, &gate_here, &y_here).unwrap();
        close(&got, &want, tolerance);
        let got = run(&join(&x, &y, Some(&gate), Some(&bias)).unwrap()).unwrap();
        let want = add_gated(&x_here, &gate_here, &biased).unwrap();
        close(&got, &want, tolerance);
        assert!(join(&x, &gate, None, None).is_err());
        assert!(join(&x, &x_here.to_dtype(DType::F64).unwrap(), None, None).is_err());
    }
}

#[test]
fn rotary_positions_are_those_of_the_cpu() {
    if !is_there() {
        return;
    }
    let (tokens, half) = (9, 8);
    let angles: Vec<f64> = (0..tokens * half).map(|i| i as f64 * 0.7).collect();
    let place = Place::cpu();
    let turn = Rotary::new(&angles, tokens, &place).unwrap();
    let send = |f: fn(f64) -> f64| {
        let all: Vec<f32> = angles.iter().map(|&a| f(a) as f32).collect();
        Tensor::from_vec(all, (tokens, half), &Device::Cpu).unwrap()
    };
    for (format, tolerance) in FORMATS {
        let [x, x_here] = random(&[2, tokens, 3 * 2 * half], 1, format);
        let got = run(&rotary(&x, &send(libm::cos), &send(libm::sin)).unwrap()).unwrap();
        close(&got, &turn.apply(&x_here).unwrap(), tolerance);
    }
}

#[test]
fn group_norms_are_those_of_the_cpu() {
    if !is_there() {
        return;
    }
    let place = Place::cpu();
    // One part of an image, several with a short last one, and a group of many channels.
    for (pixels, channels, groups) in [(15, 16, 4), (100, 32, 8), (33, 640, 2)] {
        for (format, tolerance) in FORMATS {
            let x = (values(&[2, pixels, channels], 1) + 2.0).unwrap();
            let [x, x_here] = rounded(x, format);
            let [w, w_here] = random(&[channels], 2, format);
            let [b, b_here] = random(&[channels], 3, format);
            let mut weights = file(&[("weight", &w_here), ("bias", &b_here)]);
            let root = Source::new(&mut weights, &place);
            let norm = GroupNorm::load(root, channels, groups, 1e-5).unwrap();
            let on_gpu = Groups {
                scale: &w,
                shift: &b,
                groups,
                eps: 1e-5,
            };
            let got = group_norm(&x, &on_gpu, None, run).unwrap();
            close(&got, &norm.forward(&x_here).unwrap(), 2.0 * tolerance);
            let got = group_norm(&x, &on_gpu, Some(Activation::Silu), run).unwrap();
            close(&got, &norm.silu(&x_here).unwrap(), 2.0 * tolerance);
        }
    }
}

/// What a layer gives in f16 by way of the kernels is what it gives on the CPU in f32; tells which
/// kernels these were.
fn kernels_of(
    tensors: &[(&str, &Tensor)],
    work: impl Fn(&mut Source, &dyn Fn(&Tensor) -> Tensor) -> Result<Tensor>,
) -> Vec<&'static str> {
    let half = Place {
        dtype: DType::F16,
        ..Place::cpu()
    };
    let here = |place: &Place| {
        let mut weights = file(tensors);
        let at = |x: &Tensor| x.to_dtype(place.dtype).unwrap();
        work(&mut Source::new(&mut weights, place), &at).unwrap()
    };
    let want = here(&Place::cpu());
    let (got, ran) = instead(|| here(&half));
    close(&got, &want, 4e-3);
    ran
}

#[test]
fn layers_ask_the_kernels_for_what_they_are() {
    if !is_there() {
        return;
    }
    let (x, y) = (values(&[2, 7, 32], 1), values(&[2, 7, 32], 2));
    let (w, b) = (values(&[32, 32], 4), values(&[32], 5));
    let tensors = [("weight", &w), ("bias", &b)];
    let linear = |s: &mut Source| Linear::load(s.lend(), 32, 32).unwrap();
    let ran = kernels_of(&tensors, |s, at| linear(s).forward(&at(&x)));
    assert_eq!(ran, ["activate"]);
    let ran = kernels_of(&tensors, |s, at| linear(s).added(&at(&x), &at(&y)));
    assert_eq!(ran, ["join"]);
    let gate = part(&values(&[2, 3 * 32], 3), 32, 32);
    let ran = kernels_of(&tensors, |s, at| {
        linear(s).added_gated(at(&x), &at(&y), &at(&gate))
    });
    assert_eq!(ran, ["join"]);
    let tanh = Activation::GeluTanh;
    let ran = kernels_of(&tensors, |s, at| linear(s).activated(&at(&x), tanh));
    assert_eq!(ran, ["activate"]);
    let ran = kernels_of(&tensors, |s, at| linear(s).gated(&at(&x), tanh));
    assert_eq!(ran, ["gated"]);
    let ran = kernels_of(&tensors, |_, at| {
        attention(&at(&x), &at(&y), &at(&y), Attend::heads(4))
    });
    assert_eq!(ran, ["softmax"]);
}

#[test]
fn convolutions_ask_the_kernels_for_what_is_around_them() {
    if !is_there() {
        return;
    }
    let image = values(&[2, 5, 6, 32], 6);
    let (kernel, bias) = (values(&[32, 32, 3, 3], 7), values(&[32], 5));
    let (scale, shift) = (values(&[32], 8), values(&[32], 9));
    let tensors = [
        ("conv.weight", &kernel),
        ("conv.bias", &bias),
        ("norm.weight", &scale),
        ("norm.bias", &shift),
    ];
    let norm = ["moments", "fit", "fitted"];
    for (plus, after) in [
        (None, &["activate"][..]),
        (Some(image.clone()), &["join"]),
        (Some(values(&[2, 32], 3)), &["activate", "activate"]),
    ] {
        let ran = kernels_of(&tensors, |s, at| {
            let conv = Conv2d::load(s.at("conv"), [32, 32], Geometry::SAME_3X3).unwrap();
            let norm = GroupNorm::load(s.at("norm"), 32, 4, 1e-5).unwrap();
            let plus = plus.as_ref().map(at);
            conv.around(&at(&image), Before::Norm(&norm), plus.as_ref())
        });
        assert_eq!(ran, [&norm[..], after].concat());
    }
}

/// The formulas use f32 throughout and one order for a row, so a row's bits are its own.
#[test]
fn a_row_does_not_depend_on_its_batch() {
    if !is_there() {
        return;
    }
    let x = values(&[3, 1, 1040], 1);
    let (w, b) = (values(&[1040], 2), values(&[1040], 3));
    let of = |x: &Tensor| run(&layer_norm(x, [&w, &b], 0.0, 1e-5).unwrap()).unwrap();
    let alone = of(&x.narrow(0, 1, 1).unwrap());
    close(&of(&x).narrow(0, 1, 1).unwrap(), &alone, 0.0);
    let image = values(&[3, 40, 16], 4);
    let norm = Groups {
        scale: &values(&[16], 5),
        shift: &values(&[16], 6),
        groups: 4,
        eps: 1e-5,
    };
    let of = |x: &Tensor| group_norm(x, &norm, None, run).unwrap();
    let alone = of(&image.narrow(0, 1, 1).unwrap());
    close(&of(&image).narrow(0, 1, 1).unwrap(), &alone, 0.0);
}

#[test]
fn what_kernels_cannot_do_is_left_to_candle() {
    assert!(fits(DType::BF16, 24) && fits(DType::F32, 12));
    assert!(!fits(DType::BF16, 12) && !fits(DType::F32, 6) && !fits(DType::F64, 16));
    assert!(!takes(&values(&[2, 16], 1), 16));
}
