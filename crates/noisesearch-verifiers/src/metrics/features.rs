//! A table of numbers, one sample a row.

use super::MetricError;

/// Features of samples, or their class probabilities: `[rows, dim]` f32, row by row, all finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    dim: usize,
    values: Vec<f32>,
}

impl Features {
    /// From `values: [rows, dim]`, row by row; `dim` is at least 1.
    pub fn new(dim: usize, values: Vec<f32>) -> Result<Self, MetricError> {
        if dim == 0 || !values.len().is_multiple_of(dim) {
            let values = values.len();
            return Err(MetricError::Ragged { values, dim });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(at) => Err(MetricError::NonFinite { row: at / dim }),
            None => Ok(Self { dim, values }),
        }
    }

    /// From rows of `dim` values each.
    pub fn from_rows(dim: usize, rows: &[Vec<f32>]) -> Result<Self, MetricError> {
        match rows.iter().find(|row| row.len() != dim) {
            Some(row) => Err(MetricError::Ragged {
                values: row.len(),
                dim,
            }),
            None => Self::new(dim, rows.concat()),
        }
    }

    /// Values of a row.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.values.len() / self.dim
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The rows in order, `[dim]` each.
    pub fn rows(&self) -> std::slice::ChunksExact<'_, f32> {
        self.values.chunks_exact(self.dim)
    }

    /// All values, `[rows, dim]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// These rows, then those of `more`.
    pub fn append(&mut self, more: &Self) -> Result<(), MetricError> {
        same_dim(self.dim, more.dim)?;
        self.values.extend_from_slice(&more.values);
        Ok(())
    }
}

/// Refuses to compare what was described differently.
pub(crate) fn same_dim(left: usize, right: usize) -> Result<(), MetricError> {
    match left == right {
        true => Ok(()),
        false => Err(MetricError::Dimensions { left, right }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_whole_and_finite() {
        let table = Features::new(2, vec![1.0, 2.0, 3.0, 4.0]).unwrap();
        assert_eq!((table.len(), table.dim()), (2, 2));
        assert_eq!(table.rows().last(), Some(&[3.0, 4.0][..]));
        let rows = [vec![1.0, 2.0], vec![3.0, 4.0]];
        assert_eq!(Features::from_rows(2, &rows).unwrap(), table);
        let ragged = |result| matches!(result, Err(MetricError::Ragged { .. }));
        assert!(ragged(Features::new(2, vec![1.0; 3])));
        assert!(ragged(Features::new(0, vec![])));
        assert!(ragged(Features::from_rows(2, &[vec![1.0], vec![1.0; 3]])));
        let nan = Features::new(2, vec![0.0, 0.0, 0.0, f32::NAN]);
        assert_eq!(nan, Err(MetricError::NonFinite { row: 1 }));
    }

    #[test]
    fn tables_join_where_they_are_alike() {
        let mut table = Features::new(1, vec![1.0]).unwrap();
        table.append(&Features::new(1, vec![2.0]).unwrap()).unwrap();
        assert_eq!(table.values(), [1.0, 2.0]);
        let other = Features::new(2, vec![2.0, 3.0]).unwrap();
        let wrong = table.append(&other);
        assert_eq!(wrong, Err(MetricError::Dimensions { left: 1, right: 2 }));
    }
}
