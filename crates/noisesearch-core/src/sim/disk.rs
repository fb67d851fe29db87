//! A disk in memory that fails at a chosen call and forgets what was not synced.
//!
//! It keeps what a file system keeps: files whose synced bytes and seen bytes differ, and a
//! directory whose synced and seen names differ. After a failed sync it behaves as ext4, XFS and
//! Btrfs do (Rebello et al., ATC 2020): the bytes count as clean, are still seen, and no later
//! sync writes them.

use super::dice::Dice;
use crate::disk::{Action, Disk, DiskError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The call fails; nothing happens.
    Error,
    /// No space left: half of what was to be written is.
    Full,
    /// Power is lost during the call.
    Death(Unsynced),
}

/// What becomes of bytes and names that were not synced when power was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// They are there.
    Kept,
    /// They are gone.
    Lost,
    /// Some of the first bytes are there.
    Torn,
    /// Something else is there.
    Garbled,
}

/// One fault, at one call or from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which call, counted from 0 over all calls that touch the disk.
    pub call: u64,
    /// What goes wrong there.
    pub fault: Fault,
    /// Whether later calls fail as well, until [`SimDisk::repair`].
    pub persistent: bool,
}

/// A disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk(Rc<RefCell<State>>);

/// One process's view of a disk. Holds the lock, once taken, until dropped.
pub struct Process {
    disk: SimDisk,
    id: u64,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    seen: Vec<u8>,
    /// Bytes of `seen` that the next sync does not write.
    clean: usize,
}

struct State {
    files: Vec<File>,
    synced_names: BTreeMap<String, usize>,
    seen_names: BTreeMap<String, usize>,
    calls: u64,
    trouble: Vec<Trouble>,
    dead: bool,
    processes: u64,
    holder: Option<u64>,
    dice: Dice,
}

impl SimDisk {
    /// An empty disk; `seed` decides how bytes tear and garble.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(State {
            files: Vec::new(),
            synced_names: BTreeMap::new(),
            seen_names: BTreeMap::new(),
            calls: 0,
            trouble: Vec::new(),
            dead: false,
            processes: 0,
            holder: None,
            dice: Dice::new(seed),
        })))
    }

    /// A new process at work in the directory.
    pub fn process(&self) -> Process {
        let mut state = self.0.borrow_mut();
        state.processes += 1;
        Process {
            disk: self.clone(),
            id: state.processes,
        }
    }

    /// Makes something go wrong, besides what does already.
    pub fn plan(&self, trouble: Trouble) {
        self.0.borrow_mut().trouble.push(trouble);
    }

    /// Ends the persistent trouble that has begun.
    pub fn repair(&self) {
        let state = &mut *self.0.borrow_mut();
        let calls = state.calls;
        state.trouble.retain(|t| !t.persistent || t.call >= calls);
    }

    /// How many calls touched the disk so far.
    pub fn calls(&self) -> u64 {
        self.0.borrow().calls
    }

    /// Loses power: every process is dead, un-synced bytes go as `unsynced` says.
    pub fn lose_power(&self, unsynced: Unsynced) {
        self.0.borrow_mut().lose_power(unsynced);
    }

    /// Whether power is lost.
    pub fn is_dead(&self) -> bool {
        self.0.borrow().dead
    }

    /// Power is back.
    pub fn start(&self) {
        self.0.borrow_mut().dead = false;
    }

    /// What a file holds, as a process would see it.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.borrow();
        let file = *state.seen_names.get(name)?;
        Some(state.files[file].seen.clone())
    }

    /// Puts a file there, durably, without any call: what somebody else did to it.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let file = state.create(bytes.to_vec());
        state.files[file].synced = bytes.to_vec();
        state.seen_names.insert(name.to_owned(), file);
        state.synced_names.insert(name.to_owned(), file);
    }
}

impl State {
    fn create(&mut self, seen: Vec<u8>) -> usize {
        self.files.push(File {
            seen,
            ..File::default()
        });
        self.files.len() - 1
    }

    /// Counts a call and says what goes wrong in it.
    fn call(&mut self) -> Option<Fault> {
        let call = self.calls;
        self.calls += 1;
        let hits = |t: &&Trouble| t.call == call || (t.persistent && t.call < call);
        self.trouble.iter().find(hits).map(|trouble| trouble.fault)
    }

    fn lose_power(&mut self, unsynced: Unsynced) {
        self.dead = true;
        self.holder = None;
        let names_kept = match unsynced {
            Unsynced::Kept => true,
            Unsynced::Lost => false,
            Unsynced::Torn | Unsynced::Garbled => self.dice.below(2) == 0,
        };
        if names_kept {
            self.synced_names = self.seen_names.clone();
        } else {
            self.seen_names = self.synced_names.clone();
        }
        for file in &mut self.files {
            file.lose_power(unsynced, &mut self.dice);
        }
    }
}

impl File {
    fn sync(&mut self) {
        self.synced.resize(self.clean.max(self.synced.len()), 0); // holes, if a sync failed
        self.synced
            .extend_from_slice(&self.seen[self.synced.len()..]);
        self.clean = self.seen.len();
    }

    fn lose_power(&mut self, unsynced: Unsynced, dice: &mut Dice) {
        // What a failed sync called clean was never written, whatever the rest does.
        self.synced.resize(self.clean.max(self.synced.len()), 0);
        let mut tail = self.seen.split_off(self.synced.len());
        match unsynced {
            Unsynced::Kept => {}
            Unsynced::Lost => tail.clear(),
            Unsynced::Torn => tail.truncate(dice.below(tail.len() as u64 + 1) as usize),
            Unsynced::Garbled => tail.iter_mut().for_each(|byte| {
                if dice.below(3) == 0 {
                    *byte = dice.below(256) as u8;
                }
            }),
        }
        self.synced.append(&mut tail);
        self.seen.clone_from(&self.synced);
        self.clean = self.seen.len();
    }
}

impl Process {
    /// One call: `act` is given the state and whether to do half of the work only.
    fn call<T>(
        &self,
        action: Action,
        name: &str,
        act: impl FnOnce(&mut State, bool) -> Result<T, DiskError>,
    ) -> Result<T, DiskError> {
        let state = &mut *self.disk.0.borrow_mut();
        let failed = |errno| {
            let source = io::Error::from_raw_os_error(errno);
            let name = name.to_owned();
            Err(DiskError::Io {
                action,
                name,
                source,
            })
        };
        let fault = if state.dead {
            Some(Fault::Error)
        } else {
            state.call()
        };
        match fault {
            None => act(state, false),
            Some(Fault::Full) if action == Action::Write => {
                let name = name.to_owned();
                act(state, true)?;
                Err(DiskError::Full {
                    name,
                    needed: 1,
                    free: 0,
                })
            }
            Some(Fault::Death(unsynced)) => {
                if state.dice.below(2) == 0 {
                    act(state, false)?;
                }
                state.lose_power(unsynced);
                failed(EIO)
            }
            Some(_) => {
                if action == Action::Sync && state.seen_names.contains_key(name) {
                    let file = state.seen_names[name];
                    state.files[file].clean = state.files[file].seen.len();
                }
                failed(EIO)
            }
        }
    }

    fn file(&self, state: &State, action: Action, name: &str) -> Result<usize, DiskError> {
        let missing = || DiskError::Io {
            action,
            name: name.to_owned(),
            source: io::ErrorKind::NotFound.into(),
        };
        state.seen_names.get(name).copied().ok_or_else(missing)
    }
}

/// The errno of an input or output error.
const EIO: i32 = 5;

impl Disk for Process {
    fn lock(&self) -> Result<(), DiskError> {
        self.call(Action::Lock, "lock", |state, _| match state.holder {
            Some(other) if other != self.id => Err(DiskError::Locked {
                holder: format!("process {other}"),
            }),
            _ => {
                state.holder = Some(self.id);
                Ok(())
            }
        })
    }

    fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, DiskError> {
        self.call(Action::Read, name, |state, _| {
            let Some(&file) = state.seen_names.get(name) else {
                return Ok(None);
            };
            let bytes = &state.files[file].seen;
            if bytes.len() as u64 > limit {
                let (name, size) = (name.to_owned(), bytes.len() as u64);
                return Err(DiskError::TooLarge { name, size, limit });
            }
            Ok(Some(bytes.clone()))
        })
    }

    fn append(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.call(Action::Write, name, |state, half| {
            let file = self.file(state, Action::Write, name)?;
            let count = if half { bytes.len() / 2 } else { bytes.len() };
            state.files[file].seen.extend_from_slice(&bytes[..count]);
            Ok(())
        })
    }

    fn sync(&self, name: &str) -> Result<(), DiskError> {
        self.call(Action::Sync, name, |state, _| {
            let file = self.file(state, Action::Sync, name)?;
            state.files[file].sync();
            Ok(())
        })
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        let temporary = format!("{name}.new");
        self.call(Action::Write, &temporary, |state, half| {
            let count = if half { bytes.len() / 2 } else { bytes.len() };
            let file = state.create(bytes[..count].to_vec());
            state.seen_names.insert(temporary.clone(), file);
            Ok(())
        })?;
        self.sync(&temporary)?;
        self.call(Action::Rename, name, |state, _| {
            let file = self.file(state, Action::Rename, &temporary)?;
            state.seen_names.remove(&temporary);
            state.seen_names.insert(name.to_owned(), file);
            Ok(())
        })?;
        self.call(Action::Sync, ".", |state, _| {
            state.synced_names = state.seen_names.clone();
            Ok(())
        })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut state = self.disk.0.borrow_mut();
        if state.holder == Some(self.id) {
            state.holder = None;
        }
    }
}
