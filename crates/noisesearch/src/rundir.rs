//! A run on disk.
//!
//! ```text
//! runs/<utc>-<name>-<hash8>/
//!     run.toml        the resolved spec             journal.jsonl   the truth
//!     best.png        kept up to date               baseline.png    without search
//!     images/         the best candidates           lock            who works on it
//!     finals/         the same, made again in the number format of the answer, where it differs
//!     grid.png  report.html  summary.json           when it stops, the last one last
//! ```

use crate::disk::Directory;
use crate::error::Error;
use crate::limits::{CONFIG_BYTES_MAX, FREE_BYTES_MIN, IMAGE_BYTES_MAX};
use crate::picture::Picture;
use crate::record::Record;
use crate::registry::Registry;
use crate::spec::{Checked, Spec};
use noisesearch_core::disk::{Disk, DiskError};
use noisesearch_core::job::JobId;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The resolved spec.
pub const SPEC: &str = "run.toml";
/// The best image so far.
pub const BEST: &str = "best.png";
/// What the model gives without search.
pub const BASELINE: &str = "baseline.png";
/// Baseline, best and the next candidates.
pub const GRID: &str = "grid.png";
/// The report for people.
pub const REPORT: &str = "report.html";
/// The report for programs, written last.
pub const SUMMARY: &str = "summary.json";
/// The best candidates, by job number.
const IMAGES: &str = "images";
/// The same as they were made again, by job number.
const FINALS: &str = "finals";

/// Bytes of a prompt that go into the name of a run.
const NAME_MAX: usize = 32;

/// The files of a run.
pub struct RunDir {
    /// The run directory.
    pub files: Directory,
    /// Its candidates' images.
    pub images: Directory,
    /// Images of those that were made again in another number format; there is none before.
    finals: Directory,
}

impl RunDir {
    /// Makes the directory of a new run below `out`; whole at once, with its spec in it.
    pub fn create(out: &Path, spec: &Checked) -> Result<Self, Error> {
        let text = spec.to_toml()?;
        let hash: String = blake3::hash(text.as_bytes())
            .to_hex()
            .chars()
            .take(8)
            .collect();
        let name = format!("{}-{}-{hash}", utc(SystemTime::now()), slug(spec.subject()));
        let disk = |source| Error::Disk {
            run: out.to_owned(),
            source,
        };
        let parent = Directory::ensure(out).map_err(disk)?;
        let free = parent.free_bytes().map_err(disk)?;
        if free < FREE_BYTES_MIN {
            return Err(Error::DiskFull {
                path: out.to_owned(),
                free,
            });
        }
        let fresh = format!(".{name}.{}.new", std::process::id());
        let made =
            Self::fill(&out.join(&fresh), &text).and_then(|()| parent.rename_new(&fresh, &name));
        if made.is_err() {
            parent.discard(&fresh);
        }
        Ok(Self::at(&out.join(made.map_err(disk)?)))
    }

    /// Makes a directory with all that a run begins with.
    fn fill(fresh: &Path, spec: &str) -> Result<(), DiskError> {
        Directory::create(fresh)?.replace(SPEC, spec.as_bytes())?;
        Directory::create(&fresh.join(IMAGES)).map(drop)
    }

    /// The run at `path` and its spec, checked against what there is here.
    pub fn open(path: &Path, registry: &Registry) -> Result<(Self, Checked), Error> {
        let run = Self::at(path);
        let text = run
            .files
            .read(SPEC, CONFIG_BYTES_MAX as u64)
            .map_err(|source| run.disk(source))?;
        let text = text.ok_or_else(|| Error::NotARun {
            path: path.to_owned(),
            missing: SPEC,
        })?;
        let text = String::from_utf8(text).map_err(|error| Error::Unreadable {
            path: run.path(SPEC),
            problem: error.to_string(),
        })?;
        let spec = Spec::from_toml(&text)?.check(registry)?;
        Ok((run, spec))
    }

    fn at(path: &Path) -> Self {
        Self {
            files: Directory::new(path),
            images: Directory::new(&path.join(IMAGES)),
            finals: Directory::new(&path.join(FINALS)),
        }
    }

    /// The path of one of its files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// The path of a candidate's image.
    pub fn image_path(&self, job: JobId) -> PathBuf {
        self.images.path().join(image_name(job))
    }

    /// Puts the image of a candidate that was made again in place and returns its path.
    pub fn put_final(&self, job: JobId, png: &[u8]) -> Result<PathBuf, Error> {
        let name = image_name(job);
        let put = Directory::ensure(self.finals.path()).and_then(|there| there.put(&name, png));
        put.map_err(|source| self.disk(source))?;
        Ok(self.finals.path().join(name))
    }

    /// A candidate that was made again, if its image is there.
    pub fn made_again(&self, job: JobId) -> Result<Option<(Picture, Record)>, Error> {
        let bytes = self.finals.read(&image_name(job), IMAGE_BYTES_MAX);
        let bytes = bytes.map_err(|source| self.disk(source))?;
        Ok(bytes.and_then(|bytes| Record::read(&bytes)))
    }

    /// The candidates of which there are image files, whole or not. What processes that are no
    /// more left there unfinished is removed.
    pub fn candidates(&self) -> Result<Vec<JobId>, Error> {
        self.images.sweep();
        let names = self.images.names().map_err(|source| self.disk(source))?;
        Ok(names.iter().filter_map(|name| job_of(name)).collect())
    }

    /// A disk error with the run it belongs to.
    pub fn disk(&self, source: DiskError) -> Error {
        Error::Disk {
            run: self.files.path().to_owned(),
            source,
        }
    }

    /// An image of the run with its record; `None` when there is none that can be read.
    pub fn image(&self, name: &str) -> Result<Option<(Picture, Record)>, Error> {
        Ok(self.bytes(name)?.and_then(|bytes| Record::read(&bytes)))
    }

    /// A candidate's image as a file, if it is whole.
    pub fn candidate(&self, job: JobId) -> Result<Option<(Vec<u8>, Record)>, Error> {
        let bytes = self.images.read(&image_name(job), IMAGE_BYTES_MAX);
        let bytes = bytes.map_err(|source| self.disk(source))?;
        let whole = |bytes: Vec<u8>| Record::read(&bytes).map(|(_, record)| (bytes, record));
        Ok(bytes.and_then(whole))
    }

    /// The bytes of an image file of the run.
    pub fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.files
            .read(name, IMAGE_BYTES_MAX)
            .map_err(|source| self.disk(source))
    }

    /// The bytes of an image of the run, given by its path; `None` when it cannot be read.
    pub fn relative(&self, image: &Path) -> Option<Vec<u8>> {
        let name = image.file_name()?.to_str()?;
        let holds = |directory: &&Directory| image.parent() == Some(directory.path());
        let inside = [&self.images, &self.finals].into_iter().find(holds);
        let directory = inside.unwrap_or(&self.files);
        directory.read(name, IMAGE_BYTES_MAX).ok()?
    }

    /// Puts a whole file in place, durably.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.files
            .replace(name, bytes)
            .map_err(|source| self.disk(source))
    }
}

/// The file name of a candidate's image.
pub fn image_name(job: JobId) -> String {
    format!("{:06}.png", job.0)
}

/// The job of such a name.
fn job_of(name: &str) -> Option<JobId> {
    let job = JobId(name.strip_suffix(".png")?.parse().ok()?);
    (image_name(job) == name).then_some(job)
}

/// A short name of letters, digits and dashes.
fn slug(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(NAME_MAX);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "run".to_owned()
    } else {
        slug.to_owned()
    }
}

/// `20261123T213305Z`. Civil date from days after Howard Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`.
fn utc(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_civil() {
        let at = |seconds| utc(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "19700101T000000Z");
        assert_eq!(at(951_782_399), "20000228T235959Z");
        assert_eq!(at(951_782_400), "20000229T000000Z");
        assert_eq!(at(1_795_469_585), "20261123T213305Z");
        assert_eq!(at(4_102_444_799), "20991231T235959Z");
    }

    #[test]
    fn names_are_plain() {
        assert_eq!(
            slug("Two red circles, and a blue square!"),
            "two-red-circles-and-a-blue-squar"
        );
        assert_eq!(slug("../../etc/passwd"), "etc-passwd");
        assert_eq!(slug("π"), "run");
    }
}
