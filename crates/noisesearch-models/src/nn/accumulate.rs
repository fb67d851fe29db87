//! The innermost loop of products: a tile of sums in registers.

use super::isa::prefetch;
use super::lanes::{Lanes, PANEL};

/// How many floats after those of a tile the operands lie that are asked for meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Ahead {
    /// After an element of a row.
    pub rows: usize,
    /// After a column's first element, a line for every sixteen elements of k.
    pub panels: usize,
}

/// `sums[q][m] = fma(rows[m][i], columns[q][i], sums[q][m])` for all `i`, in order.
#[inline(always)]
pub(super) fn accumulate<const M: usize, const Q: usize>(
    rows: [&[f32]; M],
    columns: [&[Lanes]; Q],
    ahead: Ahead,
    sums: &mut [[Lanes; M]; Q],
) {
    let k = rows[0].len();
    assert!(rows.iter().all(|r| r.len() == k) && columns.iter().all(|c| c.len() == k));
    let mut tile = *sums;
    for i in 0..k {
        if i % PANEL == 0 {
            for row in rows {
                prefetch(row, ahead.rows + i);
            }
            for column in columns {
                prefetch(column.as_flattened(), ahead.panels + i);
            }
        }
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
