//! Statistics in an archive of numpy (`.npz`): `mu [d]` and `sigma [d, d]`, as pytorch-fid and
//! clean-fid write them and ADM publishes its reference sets. Other arrays there are passed over,
//! and nothing is unpickled.

use super::MetricError;
use super::frechet::Gaussian;
use super::statistics::Statistics;
use npyz::NpyFile;
use std::io::{self, Read, Seek};
use zip::ZipArchive;
use zip::result::ZipError;

/// Features at most; `sigma` then has 512 MiB.
const FEATURES_MAX: u64 = 8192;
/// Bytes of a header at most.
const HEADER_MAX: u64 = 64 * 1024;

/// An archive without usable statistics.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file is not there, or not for us.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// It is something else, or damaged.
    #[error(
        "it is no archive of numpy ({0}); give one with `mu` and `sigma`, or what `noisesearch fid \
         … --save` wrote"
    )]
    Zip(ZipError),
    /// An array that is not in it.
    #[error("it has no array `{name}`, only {}", found.join(", "))]
    Missing {
        /// The array.
        name: &'static str,
        /// Files there are.
        found: Vec<String>,
    },
    /// An array that is cut off or no array of numbers.
    #[error("its array `{name}` cannot be read: {source}")]
    Array {
        /// The array.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// An array of another shape.
    #[error(
        "its array `{name}` is {found:?}; statistics are `mu [d]` and `sigma [d, d]`, with d up to \
         {FEATURES_MAX}"
    )]
    Shape {
        /// The array.
        name: &'static str,
        /// Its shape.
        found: Vec<u64>,
    },
    /// Numbers that are no statistics.
    #[error(transparent)]
    Metric(#[from] MetricError),
}

/// Reads the statistics of an archive; they hold neither features nor their number.
pub fn read(file: impl Read + Seek) -> Result<Statistics, ArchiveError> {
    let mut archive = ZipArchive::new(file).map_err(ArchiveError::Zip)?;
    let mean = array(&mut archive, "mu", |shape| {
        matches!(shape, [1..=FEATURES_MAX])
    })?;
    let d = mean.len() as u64;
    let covariance = array(&mut archive, "sigma", |shape| shape == [d, d])?;
    Ok(Statistics {
        gaussian: Gaussian::new(mean, covariance, None)?,
        features: None,
        described_by: None,
    })
}

/// An array of f64 or f32 whose shape `fits`.
fn array(
    archive: &mut ZipArchive<impl Read + Seek>,
    name: &'static str,
    fits: impl Fn(&[u64]) -> bool,
) -> Result<Vec<f64>, ArchiveError> {
    let broken = |source| ArchiveError::Array { name, source };
    let path = format!("{name}.npy");
    if archive.index_for_name(&path).is_none() {
        let names = archive.file_names().flatten();
        let found = names.map(|name| name.into_owned()).collect();
        return Err(ArchiveError::Missing { name, found });
    }
    let file = archive
        .by_name(&path)
        .map_err(|error| broken(error.into()))?;
    let most = HEADER_MAX + FEATURES_MAX * FEATURES_MAX * size_of::<f64>() as u64;
    let array = NpyFile::new(file.take(most)).map_err(broken)?;
    if !fits(array.shape()) {
        let found = array.shape().to_vec();
        return Err(ArchiveError::Shape { name, found });
    }
    match array.try_data::<f64>() {
        Ok(numbers) => numbers.collect::<io::Result<_>>().map_err(broken),
        Err(array) => {
            let numbers = array.into_vec::<f32>().map_err(broken)?;
            Ok(numbers.into_iter().map(f64::from).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use npyz::{AutoSerialize, WriterBuilder};
    use std::io::{Cursor, Write};
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    /// An array of numpy.
    fn npy<T: AutoSerialize>(shape: &[u64], values: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let options = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = options.writer(&mut bytes).begin_nd().unwrap();
        writer.extend(values).unwrap();
        writer.finish().unwrap();
        bytes
    }

    fn zip(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in files {
            let name = format!("{name}.npy");
            writer
                .start_file(name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn said(files: &[(&str, Vec<u8>)]) -> String {
        match read(Cursor::new(zip(files))) {
            Ok(_) => "read".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn numbers_of_either_width_are_read() {
        let narrow = [
            ("mu", npy(&[1], &[0.5f32])),
            ("sigma", npy(&[1, 1], &[2.0f32])),
        ];
        let wide = [
            ("mu", npy(&[1], &[0.5f64])),
            ("sigma", npy(&[1, 1], &[2.0f64])),
        ];
        for files in [narrow, wide] {
            let gaussian = read(Cursor::new(zip(&files))).unwrap().gaussian;
            assert_eq!(
                (gaussian.mean(), gaussian.covariance()),
                (&[0.5][..], &[2.0][..])
            );
        }
    }

    #[test]
    fn what_is_not_statistics_is_named() {
        let (mu, sigma) = (npy(&[2], &[0.0, 1.0]), npy(&[2, 2], &[1.0, 0.0, 0.0, 1.0]));
        let mut torn = sigma.clone();
        torn.truncate(torn.len() - 8);
        // An object: what pickles are for.
        let object = String::from_utf8_lossy(&mu)
            .replace("'<f8'", "'|O'  ")
            .into_bytes();
        let cases = [
            (
                vec![("mu", mu.clone())],
                "it has no array `sigma`, only mu.npy",
            ),
            (
                vec![("mu", mu.clone()), ("sigma", mu.clone())],
                "`sigma` is [2];",
            ),
            (vec![("mu", sigma.clone())], "`mu` is [2, 2];"),
            (vec![("mu", npy::<f64>(&[0], &[]))], "`mu` is [0];"),
            (vec![("mu", npy(&[2], &[1i64, 2]))], "`mu` cannot be read"),
            (vec![("mu", object)], "`mu` cannot be read"),
            (
                vec![("mu", b"\x80\x04pickle".to_vec())],
                "`mu` cannot be read",
            ),
            (
                vec![("mu", mu.clone()), ("sigma", torn)],
                "`sigma` cannot be read",
            ),
        ];
        for (files, want) in cases {
            let said = said(&files);
            assert!(said.contains(want), "{said} does not say {want}");
        }
        let whole = zip(&[("mu", mu), ("sigma", sigma)]);
        assert!(read(Cursor::new(&whole)).is_ok());
        for cut in [0, 10, whole.len() / 2, whole.len() - 1] {
            assert!(read(Cursor::new(&whole[..cut])).is_err(), "{cut} bytes");
        }
    }

    /// The header alone says 10^10 numbers, which nobody makes room for.
    #[test]
    fn a_shape_costs_no_memory() {
        let mu = npy(&[2], &[0.0, 1.0]);
        let large = String::from_utf8_lossy(&mu).replace("(2,)", "(9999999999,)");
        let said = said(&[("mu", large.into_bytes())]);
        assert!(
            said.contains("cannot be read") || said.contains("[9999999999]"),
            "{said}"
        );
    }
}
