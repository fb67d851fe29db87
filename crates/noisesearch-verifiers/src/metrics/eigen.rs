//! Eigenvalues of symmetric matrices in f64, and how they move under an update of rank one.
//!
//! The whole decomposition (Golub and Van Loan, Matrix Computations, 8.3): Householder reflections
//! to a tridiagonal matrix, then implicit QR steps with Wilkinson's shift. The update (Golub 1973,
//! Some modified matrix eigenvalue problems): the eigenvalues of `diag(d) + rho z zᵀ` are the roots
//! of
//!
//! ```text
//! f(x) = 1 + rho sum z_i^2 / (d_i - x),      one between each d_i and the next, and one behind
//! ```

/// A symmetric matrix taken apart: `a = sum values[i] row_i row_iᵀ`.
#[derive(Clone, Debug)]
pub struct Eigen {
    /// Eigenvalues, in no order.
    pub values: Vec<f64>,
    /// Unit eigenvectors, one a row, `[n, n]`.
    pub rows: Vec<f64>,
}

impl Eigen {
    /// Of the symmetric `a: [n, n]`; only its lower half is read. `n^3` work.
    pub fn of(mut a: Vec<f64>, n: usize) -> Self {
        let mut rows = vec![0.0; n * n];
        (0..n).for_each(|i| rows[i * n + i] = 1.0);
        let (mut values, mut off) = tridiagonal(&mut a, n, &mut rows);
        diagonal(&mut values, &mut off, n, &mut rows);
        Self { values, rows }
    }

    /// The eigenvalues alone, in no order: a third of the work.
    pub fn values(mut a: Vec<f64>, n: usize) -> Vec<f64> {
        let (mut values, mut off) = tridiagonal(&mut a, n, &mut []);
        diagonal(&mut values, &mut off, n, &mut []);
        values
    }
}

/// Reflects `a` to a tridiagonal matrix with the diagonal and the off-diagonal that it returns;
/// `rows` becomes the transposed product of the reflections.
fn tridiagonal(a: &mut [f64], n: usize, rows: &mut [f64]) -> (Vec<f64>, Vec<f64>) {
    let mut off = vec![0.0; n];
    let mut reflections: Vec<(f64, Vec<f64>)> = Vec::with_capacity(n);
    for j in 0..n.saturating_sub(1) {
        let m = n - j - 1;
        let mut v: Vec<f64> = (j + 1..n).map(|i| a[i * n + j]).collect();
        let length = dot(&v, &v).sqrt();
        off[j] = if v[0] > 0.0 { -length } else { length };
        v[0] -= off[j];
        let square = dot(&v, &v);
        let beta = if square > 0.0 { 2.0 / square } else { 0.0 };
        // p = beta A v of the rest of the matrix, of which the lower half is kept.
        let mut p = vec![0.0; m];
        for i in 0..m {
            let row = &a[(j + 1 + i) * n + j + 1..][..=i];
            p[i] += dot(row, &v[..=i]);
            let vi = v[i];
            p[..i].iter_mut().zip(row).for_each(|(p, x)| *p += x * vi);
        }
        p.iter_mut().for_each(|p| *p *= beta);
        let half = 0.5 * beta * dot(&p, &v);
        p.iter_mut().zip(&v).for_each(|(p, v)| *p -= half * v);
        for i in 0..m {
            let row = &mut a[(j + 1 + i) * n + j + 1..][..=i];
            let (vi, pi) = (v[i], p[i]);
            for ((x, v), p) in row.iter_mut().zip(&v).zip(&p) {
                *x -= vi * p + pi * v;
            }
        }
        reflections.push((beta, v));
    }
    for (j, (beta, v)) in reflections.iter().enumerate().rev() {
        for row in rows.chunks_exact_mut(n).skip(j + 1) {
            let row = &mut row[j + 1..];
            let share = beta * dot(row, v);
            row.iter_mut().zip(v).for_each(|(x, v)| *x -= share * v);
        }
    }
    ((0..n).map(|i| a[i * n + i]).collect(), off)
}

/// QR steps until `off` is nothing beside the matrix; `rows` turn along, if there are any.
fn diagonal(d: &mut [f64], off: &mut [f64], n: usize, rows: &mut [f64]) {
    // Two or three steps an eigenvalue are usual.
    const STEPS_MAX: usize = 60;
    let norm = d.iter().chain(&*off).fold(0.0f64, |m, x| m.max(x.abs()));
    let nothing = f64::EPSILON * norm;
    let mut hi = n.saturating_sub(1);
    for _ in 0..STEPS_MAX * n {
        while hi > 0 && off[hi - 1].abs() <= nothing {
            hi -= 1;
        }
        if hi == 0 {
            return;
        }
        let apart = (0..hi - 1).rev().find(|&i| off[i].abs() <= nothing);
        let lo = apart.map_or(0, |i| i + 1);
        let delta = 0.5 * (d[hi - 1] - d[hi]);
        let e = off[hi - 1];
        let root = delta.hypot(e).copysign(delta);
        let (mut x, mut z) = (d[lo] - d[hi] + e * e / (delta + root), off[lo]);
        for k in lo..hi {
            let r = x.hypot(z);
            let (c, s) = if r > 0.0 { (x / r, z / r) } else { (1.0, 0.0) };
            if k > lo {
                off[k - 1] = r;
            }
            let (p, q, f) = (d[k], d[k + 1], off[k]);
            d[k] = c * c * p + 2.0 * c * s * f + s * s * q;
            d[k + 1] = s * s * p - 2.0 * c * s * f + c * c * q;
            off[k] = c * s * (q - p) + (c * c - s * s) * f;
            x = off[k];
            if k + 1 < hi {
                z = s * off[k + 1];
                off[k + 1] *= c;
            }
            let Some(pair) = rows.get_mut(k * n..(k + 2) * n) else {
                continue;
            };
            let (above, below) = pair.split_at_mut(n);
            for (a, b) in above.iter_mut().zip(below) {
                (*a, *b) = (c * *a + s * *b, c * *b - s * *a);
            }
        }
    }
}

/// Eigenvalues, in no order, of `diag(d) + rho z zᵀ` for `rho > 0`. `n^2` work.
pub fn updated(d: &[f64], z: &[f64], rho: f64) -> Vec<f64> {
    let size = d.iter().fold(0.0f64, |m, x| m.max(x.abs())) + rho * dot(z, z);
    let nothing = f64::EPSILON * size;
    let mut sorted: Vec<(f64, f64)> = d.iter().copied().zip(z.iter().map(|z| z * z)).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut moved, mut values) = (Vec::with_capacity(d.len()), Vec::with_capacity(d.len()));
    for (pole, weight) in sorted {
        match moved.last_mut() {
            // Of equal eigenvalues only one moves, by what z has in all their directions.
            Some((last, sum)) if pole - *last <= nothing => {
                *sum += weight;
                values.push(pole);
            }
            _ => moved.push((pole, weight)),
        }
    }
    let still = |weight: f64| rho * weight <= nothing * f64::EPSILON;
    values.extend(moved.iter().filter(|m| still(m.1)).map(|m| m.0));
    moved.retain(|m| !still(m.1));
    let total: f64 = moved.iter().map(|m| m.1).sum();
    for i in 0..moved.len() {
        let pole = moved[i].0;
        let next = moved.get(i + 1).map(|m| m.0);
        let gap = next.map_or(rho * total, |next| next - pole);
        values.push(root(&moved, rho, i, gap));
    }
    values
}

/// The root behind pole `i`, not farther than `gap`. Between the poles the sums on either side are
/// replaced by one pole each, with their value and slope here; that equation is quadratic.
fn root(poles: &[(f64, f64)], rho: f64, i: usize, gap: f64) -> f64 {
    const STEPS_MAX: usize = 100;
    // Distances are from the nearer pole, which keeps their digits.
    let near = |x: f64, origin: f64| {
        let (mut below, mut above, mut slope_below, mut slope_above) = (0.0, 0.0, 0.0, 0.0);
        for (j, (pole, weight)) in poles.iter().enumerate() {
            let distance = (pole - origin) - x;
            let term = rho * weight / distance;
            let slope = term / distance;
            if j <= i {
                below += term;
                slope_below += slope;
            } else {
                above += term;
                slope_above += slope;
            }
        }
        (
            1.0 + below + above,
            below.abs() + above.abs(),
            slope_below,
            slope_above,
        )
    };
    let pole = poles[i].0;
    let last = i + 1 == poles.len();
    let at_next = !last && near(0.5 * gap, pole).0 < 0.0;
    let origin = if at_next { poles[i + 1].0 } else { pole };
    let (p, q) = if at_next { (-gap, 0.0) } else { (0.0, gap) };
    let half = 0.5 * (p + q);
    let (mut low, mut high) = match (last, at_next) {
        (true, _) => (p, q),
        (_, true) => (half, q),
        _ => (p, half),
    };
    let mut x = 0.5 * (low + high);
    for _ in 0..STEPS_MAX {
        let (f, size, slope_below, slope_above) = near(x, origin);
        if f.abs() <= 4.0 * f64::EPSILON * (1.0 + size) {
            break;
        }
        if f < 0.0 {
            low = x
        } else {
            high = x
        }
        let s = slope_below * (p - x) * (p - x);
        let t = if last {
            0.0
        } else {
            slope_above * (q - x) * (q - x)
        };
        let c = f - slope_below * (p - x) - if last { 0.0 } else { slope_above * (q - x) };
        let guess = crossing(c, (s, p), (t, q)).filter(|y| low < *y && *y < high);
        let next = guess.unwrap_or(0.5 * (low + high));
        if next == x || high - low <= f64::EPSILON * x.abs() {
            break;
        }
        x = next;
    }
    origin + x
}

/// The zero of `c + s / (p - y) + t / (q - y)` between `p` and `q`.
fn crossing(c: f64, (s, p): (f64, f64), (t, q): (f64, f64)) -> Option<f64> {
    if t == 0.0 {
        return Some(p + s / c);
    }
    // With y = p + u and g = q - p:  c u^2 - (c g + s + t) u + s g = 0.
    let g = q - p;
    let b = c * g + s + t;
    let root = (b * b - 4.0 * c * s * g).max(0.0).sqrt();
    let u = if b > 0.0 {
        2.0 * s * g / (b + root)
    } else {
        (b - root) / (2.0 * c)
    };
    u.is_finite().then_some(p + u)
}

/// Four partial sums, so that the processor need not wait for each product.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (left, right) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest: f64 = rest.map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for i in 0..4 {
            sums[i] += a[i] * b[i];
        }
    }
    sums[0] + sums[1] + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_models::parity::uniform;

    fn symmetric(name: &str, n: usize, rank: usize) -> Vec<f64> {
        let x: Vec<f64> = uniform(name, n * rank).into_iter().map(f64::from).collect();
        let entry = |i: usize| dot(&x[i / n * rank..][..rank], &x[i % n * rank..][..rank]);
        (0..n * n).map(entry).collect()
    }

    fn sorted(mut values: Vec<f64>) -> Vec<f64> {
        values.sort_by(f64::total_cmp);
        values
    }

    fn close(got: &[f64], want: &[f64], tolerance: f64) {
        let size = want.iter().fold(1e-300f64, |m, x| m.max(x.abs()));
        assert_eq!(got.len(), want.len());
        for (g, w) in got.iter().zip(want) {
            assert!((g - w).abs() <= tolerance * size, "{g} for {w} of {size}");
        }
    }

    #[test]
    fn the_parts_make_the_matrix() {
        for (n, rank) in [(1, 1), (2, 2), (3, 1), (17, 17), (40, 12), (33, 33)] {
            let a = symmetric("a", n, rank);
            let eigen = Eigen::of(a.clone(), n);
            assert_eq!(Eigen::values(a.clone(), n), eigen.values);
            let mut back = vec![0.0; n * n];
            for (value, row) in eigen.values.iter().zip(eigen.rows.chunks_exact(n)) {
                for (i, out) in back.iter_mut().enumerate() {
                    *out += value * row[i / n] * row[i % n];
                }
            }
            close(&back, &a, 1e-14 * n as f64);
            let zeros = eigen.values.iter().filter(|v| v.abs() < 1e-11).count();
            assert_eq!(zeros, n - rank);
            for (i, row) in eigen.rows.chunks_exact(n).enumerate() {
                for (j, other) in eigen.rows.chunks_exact(n).enumerate() {
                    let one = if i == j { 1.0 } else { 0.0 };
                    assert!((dot(row, other) - one).abs() < 1e-13);
                }
            }
        }
    }

    #[test]
    fn a_diagonal_and_nothing_are_their_own() {
        let eigen = Eigen::of(vec![3.0, 0.0, 0.0, -2.0], 2);
        close(&sorted(eigen.values), &[-2.0, 3.0], 1e-15);
        assert_eq!(Eigen::of(vec![0.0; 9], 3).values, [0.0; 3]);
        assert!(Eigen::of(vec![], 0).values.is_empty());
    }

    #[test]
    fn an_update_is_the_decomposition_of_the_sum() {
        for (n, rank, rho) in [
            (1, 1, 0.5),
            (2, 2, 3.0),
            (30, 30, 0.9),
            (30, 4, 0.7),
            (25, 0, 2.0),
        ] {
            let a = symmetric("b", n, rank);
            let w: Vec<f64> = uniform("w", n).into_iter().map(f64::from).collect();
            let eigen = Eigen::of(a.clone(), n);
            let rows = eigen.rows.chunks_exact(n);
            let z: Vec<f64> = rows.map(|row| dot(row, &w)).collect();
            let sum: Vec<f64> = (0..n * n)
                .map(|i| a[i] + rho * w[i / n] * w[i % n])
                .collect();
            let want = sorted(Eigen::of(sum, n).values);
            close(&sorted(updated(&eigen.values, &z, rho)), &want, 1e-13);
        }
    }

    #[test]
    fn an_update_with_equal_and_untouched_values() {
        let got = updated(&[1.0, 1.0, 1.0, 2.0, 5.0], &[3.0, 0.0, 4.0, 0.0, 0.0], 1.0);
        close(&sorted(got), &[1.0, 1.0, 2.0, 5.0, 26.0], 1e-14);
        close(
            &sorted(updated(&[1.0, 2.0], &[1e-200, 1e-9], 1.0)),
            &[1.0, 2.0],
            1e-14,
        );
        close(
            &sorted(updated(&[0.0, 1e-30, 7.0], &[0.0; 3], 1.0)),
            &[0.0, 0.0, 7.0],
            1e-14,
        );
    }
}
