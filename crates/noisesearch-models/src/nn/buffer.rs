//! Memory for activations and weights: aligned, and reused from one forward to the next.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Floats that start on a cache line.
#[derive(Debug, Default)]
pub struct Buffer {
    storage: Vec<f32>,
    start: usize,
    len: usize,
}

/// Floats in a cache line.
const LINE: usize = 16;

impl Buffer {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let storage = vec![0.0; len + LINE];
        let start = storage
            .as_ptr()
            .align_offset(LINE * size_of::<f32>())
            .min(LINE);
        Self {
            storage,
            start,
            len,
        }
    }

    fn capacity(&self) -> usize {
        self.storage.len() - self.start
    }
}

impl Deref for Buffer {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

/// Buffers that are lent and given back, so that forwards after the first reuse the same memory.
#[derive(Debug, Default)]
pub struct Arena {
    spare: Vec<Buffer>,
}

impl Arena {
    /// A buffer of `len` floats whose contents are **not specified**: write before reading.
    pub fn take(&mut self, len: usize) -> Buffer {
        let fits = |b: &Buffer| b.capacity() >= len;
        let best = (0..self.spare.len())
            .filter(|&i| fits(&self.spare[i]))
            .min_by_key(|&i| self.spare[i].capacity());
        match best {
            Some(index) => {
                let mut buffer = self.spare.swap_remove(index);
                buffer.len = len;
                buffer
            }
            None => {
                // What is too small makes place for it.
                let largest = (0..self.spare.len()).max_by_key(|&i| self.spare[i].capacity());
                largest.map(|index| self.spare.swap_remove(index));
                Buffer::zeros(len)
            }
        }
    }

    /// Gives a buffer back for later use.
    pub fn give(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }
}

/// One arena for every thread that is at work, kept between forwards.
#[derive(Debug, Default)]
pub struct Arenas {
    idle: Mutex<Vec<Arena>>,
}

impl Arenas {
    /// Calls `work` with an arena that no other thread uses meanwhile.
    pub fn with<R>(&self, work: impl FnOnce(&mut Arena) -> R) -> R {
        let mut arena = self.lock().pop().unwrap_or_default();
        let result = work(&mut arena);
        self.lock().push(arena);
        result
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arena>> {
        // An arena holds no invariant that a panic elsewhere could have broken.
        self.idle
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_reused() {
        let mut arena = Arena::default();
        let (small, large) = (arena.take(10), arena.take(1000));
        assert_eq!(large.as_ptr().align_offset(64), 0);
        let at = small.as_ptr();
        arena.give(large);
        arena.give(small);
        let again = arena.take(7);
        assert_eq!((again.len(), again.as_ptr()), (7, at));
        assert_eq!(arena.take(500).len(), 500);
        assert!(arena.spare.is_empty());
        arena.give(again);
        assert_eq!(arena.take(2000).len(), 2000);
        assert!(arena.spare.is_empty());
    }
}
