//! Statistics of sets in files, in the format of [`noisesearch_verifiers::metrics::statistics`].

use super::MeasureError;
use super::sets::{Set, metric_error};
use crate::disk::Directory;
use noisesearch_core::disk::{Action, Disk, DiskError};
use noisesearch_models::weights::Weights;
use noisesearch_verifiers::glyphs::judge::Judge;
use noisesearch_verifiers::metrics::archive::{self, ArchiveError};
use noisesearch_verifiers::metrics::frechet::Gaussian;
use noisesearch_verifiers::metrics::statistics::{Statistics, StatisticsError};
use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, TensorView, serialize};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// The lab's real glyphs, see [`noisesearch_verifiers::glyphs::reference()`].
pub fn reference() -> Result<Set, MeasureError> {
    let features = noisesearch_verifiers::glyphs::reference()?;
    let name = "the real glyphs";
    Ok(Set {
        name: name.into(),
        statistics: Statistics {
            described_by: Some(Judge::oracle()?.hash().to_owned()),
            gaussian: Gaussian::of(&features).map_err(|source| metric_error(name, source))?,
            features: Some(features),
        },
    })
}

/// Reads statistics.
pub fn read(path: &Path) -> Result<Set, MeasureError> {
    if path.extension().is_some_and(|ending| ending == "npz") {
        return read_archive(path);
    }
    let name = path.display().to_string();
    match Statistics::take(Weights::open(path)?) {
        Ok(statistics) => Ok(Set { name, statistics }),
        Err(StatisticsError::Weights(error)) => Err(error.into()),
        Err(StatisticsError::Metric(source)) => Err(metric_error(&name, source)),
    }
}

/// Those that other programs made.
fn read_archive(path: &Path) -> Result<Set, MeasureError> {
    let broken = |source| MeasureError::Archive {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(|source| broken(ArchiveError::Read(source)))?;
    let name = path.display().to_string();
    match archive::read(BufReader::new(file)) {
        Ok(statistics) => Ok(Set { name, statistics }),
        Err(ArchiveError::Metric(source)) => Err(metric_error(&name, source)),
        Err(source) => Err(broken(source)),
    }
}

/// Writes a set, durably and whole or not at all.
pub fn save(set: &Set, path: &Path) -> Result<(), MeasureError> {
    let bytes = bytes(&set.statistics).map_err(|error| broken(path, error))?;
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let folder = Directory::new(above.unwrap_or(Path::new(".")));
    let written = folder.replace(&name, &bytes);
    written.map_err(|source| MeasureError::Write {
        path: path.to_owned(),
        source,
    })
}

/// Tensors that cannot be written, such as one of more bytes than an address can count.
fn broken(path: &Path, error: SafeTensorError) -> MeasureError {
    let source = DiskError::Io {
        action: Action::Write,
        name: path.display().to_string(),
        source: std::io::Error::other(error),
    };
    MeasureError::Write {
        path: path.to_owned(),
        source,
    }
}

/// The file of a set.
fn bytes(set: &Statistics) -> Result<Vec<u8>, SafeTensorError> {
    let wide = |values: &[f64]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let short = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let (d, gaussian) = (set.gaussian.dim(), &set.gaussian);
    let mut tensors: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = vec![
        ("mean", Dtype::F64, vec![d], wide(gaussian.mean())),
        (
            "covariance",
            Dtype::F64,
            vec![d, d],
            wide(gaussian.covariance()),
        ),
    ];
    if let Some(n) = gaussian.n() {
        tensors.push(("n", Dtype::F64, vec![1], wide(&[n as f64])));
    }
    if let Some(features) = &set.features {
        let shape = vec![features.len(), d];
        tensors.push(("features", Dtype::F32, shape, short(features.values())));
    }
    if let Some(hash) = &set.described_by {
        let bytes: Vec<f32> = bytes_of(hash).into_iter().map(f32::from).collect();
        tensors.push(("described_by", Dtype::F32, vec![bytes.len()], short(&bytes)));
    }
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        TensorView::new(*dtype, shape.clone(), data).map(|view| (*name, view))
    });
    serialize(views.collect::<Result<Vec<_>, _>>()?, None)
}

/// Bytes of hexadecimal digits.
fn bytes_of(hash: &str) -> Vec<u8> {
    let pairs = hash.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.filter_map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use noisesearch_verifiers::metrics::Features;

    fn file(name: &str) -> std::path::PathBuf {
        std::env::temp_dir().join(format!("noisesearch-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_set_is_read_as_it_was_saved() {
        let path = file("set.safetensors");
        let features = Features::new(2, vec![0.1, 0.2, 0.5, -0.7, 0.3, 1.0]).unwrap();
        let whole = Statistics {
            described_by: Some(Judge::oracle().unwrap().hash().to_owned()),
            gaussian: Gaussian::of(&features).unwrap(),
            features: Some(features),
        };
        let least = Statistics {
            described_by: None,
            gaussian: Gaussian::new(vec![0.1], vec![0.3], None).unwrap(),
            features: None,
        };
        for statistics in [whole, least] {
            let name = path.display().to_string();
            let set = Set { name, statistics };
            save(&set, &path).unwrap();
            assert_eq!(read(&path).unwrap(), set);
        }
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let path = file("none.safetensors");
        let of = |tensors: &[(&str, Vec<usize>)]| {
            let data: Vec<Vec<u8>> = tensors
                .iter()
                .map(|(_, shape)| vec![0; 4 * shape.iter().product::<usize>()])
                .collect();
            let views = tensors.iter().zip(&data).map(|((name, shape), data)| {
                (
                    *name,
                    TensorView::new(Dtype::F32, shape.clone(), data).unwrap(),
                )
            });
            std::fs::write(&path, serialize(views, None).unwrap()).unwrap();
            read(&path).unwrap_err().to_string()
        };
        for (tensors, says) in [
            (vec![("mean", vec![2])], "covariance"),
            (vec![("mean", vec![]), ("covariance", vec![1, 1])], "shape"),
            (
                vec![("mean", vec![0]), ("covariance", vec![0, 0])],
                "squared",
            ),
            (vec![("mean", vec![2]), ("covariance", vec![2, 3])], "shape"),
            (vec![("model", vec![2])], "mean"),
        ] {
            let error = of(&tensors);
            assert!(error.contains(says), "{error}");
        }
        std::fs::remove_file(path).unwrap();
    }
}
