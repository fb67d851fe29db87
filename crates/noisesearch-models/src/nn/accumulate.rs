//! The innermost loop of products: a tile of sums in registers.

use super::isa::fma;
use super::lanes::{Lanes, PANEL};

/// `sums[q][m] = fma(rows[m][i], columns[q][i], sums[q][m])` for all `i`, in order.
///
/// The processor finds by itself what to bring nearer: asking for lines ahead cost 10 to 20 % of
/// the speed, and won nothing even where weights come from memory.
#[inline(always)]
pub(super) fn accumulate<const M: usize, const Q: usize>(
    rows: [&[f32]; M],
    columns: [&[Lanes]; Q],
    sums: &mut [[Lanes; M]; Q],
) {
    let k = rows[0].len();
    assert!(rows.iter().all(|r| r.len() == k) && columns.iter().all(|c| c.len() == k));
    let mut tile = *sums;
    for i in 0..k {
        for m in 0..M {
            let a = rows[m][i];
            for q in 0..Q {
                let b = &columns[q][i];
                for j in 0..PANEL {
                    tile[q][m][j] = a.mul_add(b[j], tile[q][m][j]);
                }
            }
        }
    }
    *sums = tile;
}

/// The same for rows that are packed, `rows[i][m]`. Only to be reached from
/// [`super::isa::Kernel::run_wide`].
#[inline(always)]
pub(super) fn accumulate_packed<const M: usize, const Q: usize>(
    rows: &[[f32; M]],
    columns: [&[Lanes]; Q],
    sums: &mut [[Lanes; M]; Q],
) {
    let k = rows.len();
    assert!(columns.iter().all(|c| c.len() == k));
    let mut tile = *sums;
    for i in 0..k {
        for m in 0..M {
            for q in 0..Q {
                tile[q][m] = fma(rows[i][m], &columns[q][i], tile[q][m]);
            }
        }
    }
    *sums = tile;
}
