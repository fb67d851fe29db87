//! The real disk: one directory, POSIX files. All file access of a run goes through here.
//!
//! Files are `0600`, directories `0700`. A replaced file is written to a temporary one
//! (`O_EXCL`), synced, renamed, and the directory is synced. The lock is the kernel's (`flock`) on
//! the file `lock`, which also says who holds it; it ends with its process. On NFS `flock` works
//! between machines only where the server supports it (NFSv4, or v3 with a lock manager); on
//! other network disks one run must be worked on by one machine at a time.

use noisesearch_core::disk::{Action, Disk, DiskError};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Pid, test_kill_process};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

const LOCK: &str = "lock";
/// How often, and with which pause, a loser waits for the winner to have written its name.
const HOLDER_READS: u32 = 20;
/// Runs of one name, which holds the second.
const NAMES_MAX: u32 = 1000;
const HOLDER_PAUSE: Duration = Duration::from_millis(5);

/// A directory on a POSIX file system.
pub struct Directory {
    path: PathBuf,
    lock: OnceLock<File>,
    /// Files open for appending, so that an error of an earlier write is seen by the sync.
    open: Mutex<BTreeMap<String, File>>,
}

impl Directory {
    /// The directory at `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        let (lock, open) = (OnceLock::new(), Mutex::default());
        Self {
            path: path.to_owned(),
            lock,
            open,
        }
    }

    /// The directory, made durably with those above it where they are missing.
    pub fn ensure(path: &Path) -> Result<Self, DiskError> {
        let missing = |level: &&Path| !level.as_os_str().is_empty() && !level.is_dir();
        let levels: Vec<&Path> = path.ancestors().take_while(missing).collect();
        for level in levels.into_iter().rev() {
            match make(level) {
                // Somebody else was faster.
                Err(DiskError::Io { source, .. })
                    if source.kind() == io::ErrorKind::AlreadyExists && level.is_dir() => {}
                made => made?,
            }
        }
        Ok(Self::new(path))
    }

    /// Makes the directory and those above it, durably.
    ///
    /// # Errors
    /// When it exists already, or cannot be made.
    pub fn create(path: &Path) -> Result<Self, DiskError> {
        Self::ensure(above(path))?;
        make(path)?;
        Ok(Self::new(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that are free for us on its file system.
    pub fn free_bytes(&self) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(&self.path);
        let stat = stat.map_err(|error| self.error(Action::Read, "", error.into(), 0))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Gives the directory `from` inside this one the name `to`, or `to-2` and so on where that
    /// is taken; durably. Returns the name.
    pub fn rename_new(&self, from: &str, to: &str) -> Result<String, DiskError> {
        let names = (1..=NAMES_MAX).map(|n| {
            if n == 1 {
                to.to_owned()
            } else {
                format!("{to}-{n}")
            }
        });
        for name in names {
            match std::fs::rename(self.path.join(from), self.path.join(&name)) {
                // Only an empty directory would be replaced, and a run is never empty.
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(error) => return Err(self.error(Action::Rename, &name, error, 0)),
                Ok(()) => {
                    sync(&self.path).map_err(|error| self.error(Action::Sync, &name, error, 0))?;
                    return Ok(name);
                }
            }
        }
        Err(self.error(Action::Rename, to, io::ErrorKind::AlreadyExists.into(), 0))
    }

    /// As [`Disk::replace`], but not durable: for files that can be made again.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.write_whole(name, bytes, false)
    }

    /// Removes a file; one that is not there is fine.
    pub fn remove(&self, name: &str) -> Result<(), DiskError> {
        match std::fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.error(Action::Write, name, error, 0))
            }
            _ => Ok(()),
        }
    }

    /// Removes a directory inside this one with all that is in it, as far as that can be done.
    pub fn discard(&self, name: &str) {
        drop(std::fs::remove_dir_all(self.path.join(name)));
    }

    /// Names of what is in it, in no order; none where it is not there.
    pub fn names(&self) -> Result<Vec<String>, DiskError> {
        let failed = |source| self.error(Action::Read, "", source, 0);
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(failed)?,
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<_>>().map_err(failed)
    }

    /// Writes a temporary file and renames it over `name`.
    fn write_whole(&self, name: &str, bytes: &[u8], sync: bool) -> Result<(), DiskError> {
        let temporary = Self::temporary(name, std::process::id());
        let failed = |action| move |source| self.error(action, name, source, bytes.len());
        let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let write = || {
            self.remove(&temporary)?;
            let mut file = self
                .open(&temporary, create)
                .map_err(failed(Action::Write))?;
            file.write_all(bytes).map_err(failed(Action::Write))?;
            if sync {
                file.sync_all().map_err(failed(Action::Sync))?;
            }
            let (from, to) = (self.path.join(&temporary), self.path.join(name));
            std::fs::rename(from, to).map_err(failed(Action::Rename))
        };
        let written = write();
        if written.is_err() {
            // The first error is the one to report; the sweep takes what stays.
            drop(self.remove(&temporary));
        }
        self.appending().remove(name);
        written
    }

    fn error(&self, action: Action, name: &str, source: io::Error, needed: usize) -> DiskError {
        let full = [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded];
        let name = if name.is_empty() {
            self.path.display().to_string()
        } else {
            name.to_owned()
        };
        if full.contains(&source.kind()) {
            let stat = rustix::fs::statvfs(&self.path);
            let free = stat.map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
            return DiskError::Full {
                name,
                needed: needed as u64,
                free,
            };
        }
        DiskError::Io {
            action,
            name,
            source,
        }
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::open(self.path.join(name), flags, mode)?.into())
    }

    fn appending(&self) -> MutexGuard<'_, BTreeMap<String, File>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn temporary(name: &str, process: u32) -> String {
        format!(".{name}.{process}.tmp")
    }

    /// Removes temporary files of processes that are no more. What cannot be removed stays.
    pub fn sweep(&self) {
        for name in self.names().unwrap_or_default() {
            let process = name.strip_suffix(".tmp");
            let process = process.and_then(|rest| rest.rsplit_once('.')?.1.parse().ok());
            if process.is_some_and(|process| !alive(process)) {
                drop(self.remove(&name));
            }
        }
    }

    /// The process named in the lock file, once it is one that lives.
    fn holder(&self) -> String {
        for _ in 0..HOLDER_READS {
            let text = std::fs::read_to_string(self.path.join(LOCK)).unwrap_or_default();
            if let Some(process) = text.trim().parse().ok().filter(|&process| alive(process)) {
                return format!("process {process}");
            }
            std::thread::sleep(HOLDER_PAUSE);
        }
        "another process".to_owned()
    }
}

/// Makes one directory, durably.
fn make(path: &Path) -> Result<(), DiskError> {
    let failed = |action| {
        move |source| DiskError::Io {
            action,
            name: path.display().to_string(),
            source,
        }
    };
    let made = DirBuilder::new().mode(0o700).create(path);
    made.map_err(failed(Action::Write))?;
    sync(above(path)).map_err(failed(Action::Sync))
}

/// The directory that a path is in.
fn above(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    }
}

/// Makes durable which names a directory has.
fn sync(directory: &Path) -> io::Result<()> {
    #[cfg(test)]
    tests::SYNCED.with_borrow_mut(|synced| synced.push(directory.to_owned()));
    File::open(directory)?.sync_all()
}

/// Whether a process of this number exists, be it ours or not.
fn alive(process: u32) -> bool {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    process.is_some_and(|process| test_kill_process(process) != Err(rustix::io::Errno::SRCH))
}

impl Disk for Directory {
    fn lock(&self) -> Result<(), DiskError> {
        if self.lock.get().is_some() {
            return Ok(());
        }
        let failed = |source| self.error(Action::Lock, LOCK, source, 0);
        let mut file = self
            .open(LOCK, OFlags::RDWR | OFlags::CREATE)
            .map_err(failed)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DiskError::Locked {
                    holder: self.holder(),
                });
            }
            other => other.map_err(|error| failed(error.into()))?,
        }
        file.set_len(0).map_err(failed)?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes())
            .map_err(failed)?;
        self.lock.get_or_init(|| file);
        self.sweep();
        Ok(())
    }

    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, DiskError> {
        let failed = |source| self.error(Action::Read, name, source, 0);
        let file = match self.open(name, OFlags::RDONLY | OFlags::NONBLOCK) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(failed)?,
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::other("it is no regular file")));
        }
        let size = metadata.len();
        if size > limit {
            return Err(DiskError::TooLarge {
                name: name.to_owned(),
                size,
                limit,
            });
        }
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(failed)?;
        Ok(Some(bytes))
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let mut open = self.appending();
        let failed = |source| self.error(Action::Write, name, source, bytes.len());
        if !open.contains_key(name) {
            let file = self
                .open(name, OFlags::WRONLY | OFlags::APPEND)
                .map_err(failed)?;
            open.insert(name.to_owned(), file);
        }
        open.get_mut(name)
            .map_or(Ok(()), |file| file.write_all(bytes))
            .map_err(failed)
    }

    fn sync(&self, name: &str) -> Result<(), DiskError> {
        let open = self.appending();
        let done = open.get(name).map_or(Ok(()), File::sync_data);
        done.map_err(|source| self.error(Action::Sync, name, source, 0))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.write_whole(name, bytes, true)?;
        sync(&self.path).map_err(|source| self.error(Action::Sync, name, source, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicU32, Ordering};

    thread_local! {
        /// Directories that were synced, in order.
        pub(super) static SYNCED: RefCell<Vec<PathBuf>> = const { RefCell::new(Vec::new()) };
    }

    fn scratch(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("noisesearch-{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        Directory::create(&path).unwrap()
    }

    #[test]
    fn files_are_private_whole_and_read_back() {
        let disk = scratch("files");
        assert!(disk.read("a", 9).unwrap().is_none());
        disk.replace("a", b"one").unwrap();
        disk.append("a", b" two").unwrap();
        disk.sync("a").unwrap();
        assert_eq!(disk.read("a", 9).unwrap().unwrap(), b"one two");
        disk.replace("a", b"new").unwrap();
        disk.append("a", b"er").unwrap();
        assert_eq!(disk.read("a", 9).unwrap().unwrap(), b"newer");
        assert!(matches!(
            disk.read("a", 4),
            Err(DiskError::TooLarge { size: 5, .. })
        ));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            (mode(&disk.path().join("a")), mode(disk.path())),
            (0o600, 0o700)
        );
        let names: Vec<_> = std::fs::read_dir(disk.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no temporary file stays");
        assert!(matches!(
            disk.append("absent", b"x"),
            Err(DiskError::Io { .. })
        ));
        assert!(matches!(disk.read("..", 4), Err(DiskError::Io { .. })));
        std::fs::remove_dir_all(disk.path()).unwrap();
    }

    /// After a loss of power a run is there only if every directory on the way to it is; once only
    /// the last one's name was made durable.
    #[test]
    fn every_directory_that_is_made_is_durable() {
        let disk = scratch("levels");
        let path = |name: &str| disk.path().join(name);
        SYNCED.take();
        Directory::ensure(&path("a/b/c")).unwrap();
        assert_eq!(SYNCED.take(), [path(""), path("a"), path("a/b")]);
        Directory::ensure(&path("a/b/c")).unwrap();
        assert!(SYNCED.take().is_empty());
        Directory::create(&path("a/d/e")).unwrap();
        assert_eq!(SYNCED.take(), [path("a"), path("a/d")]);
        assert!(Directory::create(&path("a/d/e")).is_err());
        std::fs::write(path("file"), b"").unwrap();
        assert!(Directory::ensure(&path("file/below")).is_err());
        std::fs::remove_dir_all(disk.path()).unwrap();
    }

    #[test]
    fn leftovers_of_dead_processes_are_swept() {
        let disk = scratch("sweep");
        let path = |name: &str| disk.path().join(name);
        let mine = Directory::temporary("b", std::process::id());
        for name in [".best.png.999999999.tmp", &mine, "a.tmp"] {
            std::fs::write(path(name), b"x").unwrap();
        }
        disk.lock().unwrap();
        let left = [".best.png.999999999.tmp", &mine, "a.tmp"].map(|name| path(name).exists());
        assert_eq!(left, [false, true, true]);
        std::fs::remove_dir_all(disk.path()).unwrap();
    }

    /// R7, within a process: each value locks for itself.
    #[test]
    fn of_two_lockers_one_wins_and_the_other_says_who() {
        let disk = scratch("race");
        for _ in 0..20 {
            let (barrier, winners) = (Barrier::new(2), AtomicU32::new(0));
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        let mine = Directory::new(disk.path());
                        barrier.wait();
                        let result = mine.lock();
                        barrier.wait();
                        match result {
                            Ok(()) => drop(winners.fetch_add(1, Ordering::Relaxed)),
                            Err(DiskError::Locked { holder }) => {
                                assert_eq!(holder, format!("process {}", std::process::id()));
                            }
                            Err(other) => panic!("{other}"),
                        }
                    });
                }
            });
            assert_eq!(winners.into_inner(), 1);
        }
        std::fs::remove_dir_all(disk.path()).unwrap();
    }
}
