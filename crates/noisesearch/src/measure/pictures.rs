//! Pictures in files and folders.

use super::MeasureError;
use crate::limits::IMAGE_BYTES_MAX;
use crate::picture::{Picture, Text};
use crate::rundir::{GRID, SPEC};
use candle_core::Tensor;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Pictures that are judged together, at most: more costs memory and gains no time.
const TOGETHER_MAX: usize = 16;
/// Endings of pictures that are not read.
const OTHERS: [&str; 6] = ["jpg", "jpeg", "webp", "bmp", "gif", "tiff"];

/// What paths stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The PNG files, those of a folder by name.
    pub files: Vec<PathBuf>,
    /// Pictures of other formats in the folders, which were left out.
    pub others: usize,
}

/// A picture and where it is from.
pub struct Found {
    /// The file.
    pub path: PathBuf,
    /// Its pixels.
    pub picture: Picture,
    /// What it says about itself.
    pub texts: Vec<Text>,
}

/// Files as they are, and the PNG files of folders, without the folders inside them.
pub fn list(paths: &[PathBuf]) -> Result<Listing, MeasureError> {
    let mut listing = Listing::default();
    for path in paths {
        let kind = fs::metadata(path).map_err(|source| unreadable(path, source))?;
        match (kind.is_file(), kind.is_dir()) {
            (true, _) => listing.files.push(path.clone()),
            (_, true) => add_folder(&mut listing, path)?,
            _ => return Err(MeasureError::NotAFile { path: path.clone() }),
        }
    }
    Ok(listing)
}

fn add_folder(listing: &mut Listing, folder: &Path) -> Result<(), MeasureError> {
    let (mut files, mut others) = (Vec::new(), 0);
    let run = folder.join(SPEC).exists();
    let entries = fs::read_dir(folder).map_err(|source| unreadable(folder, source))?;
    for entry in entries {
        let path = entry.map_err(|source| unreadable(folder, source))?.path();
        let ending = path.extension().map(|e| e.to_ascii_lowercase());
        match ending.as_deref().and_then(|e| e.to_str()) {
            // The grid of a run shows its pictures together.
            Some("png") if run && path.ends_with(GRID) => {}
            Some("png") => files.push(path),
            Some(other) => others += usize::from(OTHERS.contains(&other)),
            None => {}
        }
    }
    if files.is_empty() {
        let path = folder.to_owned();
        return Err(MeasureError::NoPictures { path, others });
    }
    files.sort();
    listing.files.append(&mut files);
    listing.others += others;
    Ok(())
}

/// Reads a picture.
pub fn read_picture(path: &Path) -> Result<Found, MeasureError> {
    let bytes = read_bounded(path, IMAGE_BYTES_MAX)?;
    let read = Picture::from_png(&bytes);
    let path = path.to_owned();
    match read {
        Ok((picture, texts)) => Ok(Found {
            path,
            picture,
            texts,
        }),
        Err(source) => Err(MeasureError::Picture { path, source }),
    }
}

/// All of a file of bounded size.
pub fn read_bounded(path: &Path, limit: u64) -> Result<Vec<u8>, MeasureError> {
    let failed = |source| unreadable(path, source);
    let kind = fs::metadata(path).map_err(failed)?;
    if !kind.is_file() {
        let path = path.to_owned();
        return Err(MeasureError::NotAFile { path });
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    match bytes.len() as u64 > limit {
        true => Err(MeasureError::TooLarge {
            path: path.to_owned(),
            size: kind.len(),
            limit,
        }),
        false => Ok(bytes),
    }
}

fn unreadable(path: &Path, source: std::io::Error) -> MeasureError {
    let path = path.to_owned();
    MeasureError::Read { path, source }
}

/// Reads the files in order and hands them on in groups of neighbours that are of one size, for
/// which `key` is the same, until `take` says that no more are wanted.
pub fn in_groups<K: PartialEq>(
    files: &[PathBuf],
    mut key: impl FnMut(&Found) -> Result<K, MeasureError>,
    mut take: impl FnMut(K, Vec<Found>) -> Result<bool, MeasureError>,
) -> Result<(), MeasureError> {
    let mut group: Option<(K, Vec<Found>)> = None;
    for path in files {
        let found = read_picture(path)?;
        let of = key(&found)?;
        match &mut group {
            Some((k, some)) if *k == of && some.len() < TOGETHER_MAX && alike(&some[0], &found) => {
                some.push(found);
            }
            _ => {
                let whole = group.replace((of, vec![found]));
                if !whole.map_or(Ok(true), |(k, some)| take(k, some))? {
                    return Ok(());
                }
            }
        }
    }
    group.map_or(Ok(()), |(k, some)| take(k, some).map(drop))
}

fn alike(a: &Found, b: &Found) -> bool {
    let shape = |found: &Found| {
        let picture = &found.picture;
        (picture.width, picture.height, picture.channels)
    };
    shape(a) == shape(b)
}

/// Pictures of one size as `[b, 1|3, h, w]` f32 in `[0, 1]`.
pub fn images(group: &[Found]) -> candle_core::Result<Tensor> {
    let images = group.iter().map(|found| found.picture.to_image());
    Tensor::cat(&images.collect::<candle_core::Result<Vec<_>>>()?, 0)
}

/// What `name` did wrong on a group.
pub fn judge_error(name: &str, group: &[Found], source: candle_core::Error) -> MeasureError {
    // A person is told what happened, not through which functions.
    let source = match source {
        candle_core::Error::WithBacktrace { inner, .. } => inner,
        other => Box::new(other),
    };
    MeasureError::Judge {
        name: name.to_owned(),
        path: group.first().map(|f| f.path.clone()).unwrap_or_default(),
        source,
    }
}
