//! Memory for activations and weights: aligned, and reused from one forward to the next.

use std::ops::{Deref, DerefMut};
use std::sync::Mutex;

/// Numbers that start on a cache line.
#[derive(Debug, Default)]
pub struct Buffer<T = f32> {
    storage: Vec<T>,
    start: usize,
    len: usize,
}

/// Bytes of a cache line.
const LINE: usize = 64;

impl<T: Copy + Default> Buffer<T> {
    /// `len` zeros.
    pub fn zeros(len: usize) -> Self {
        let line = LINE / size_of::<T>();
        let storage = vec![T::default(); len + line];
        let start = storage.as_ptr().align_offset(LINE).min(line);
        Self {
            storage,
            start,
            len,
        }
    }

    /// Makes it `len` long or longer; what then stands in it is not specified.
    pub(super) fn grow(&mut self, len: usize) {
        if self.len < len {
            *self = Self::zeros(len);
        }
    }

    /// Its first `len` numbers, of which it gets more where it has fewer; what stands in them then
    /// is not specified.
    pub(super) fn grown(&mut self, len: usize) -> &mut [T] {
        self.grow(len);
        &mut self[..len]
    }

    fn capacity(&self) -> usize {
        self.storage.len() - self.start
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.storage[self.start..self.start + self.len]
    }
}

impl<T> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.storage[self.start..self.start + self.len]
    }
}

/// Buffers of one type of numbers.
#[derive(Debug, Default)]
struct Pool<T> {
    spare: Vec<Buffer<T>>,
}

impl<T: Copy + Default> Pool<T> {
    fn take(&mut self, len: usize) -> Buffer<T> {
        let fits = |b: &Buffer<T>| b.capacity() >= len;
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
}

/// Buffers that are lent and given back, so that forwards after the first reuse the same memory.
/// The contents of what is taken are **not specified**: write before reading.
#[derive(Debug, Default)]
pub struct Arena {
    floats: Pool<f32>,
    words: Pool<u32>,
    halves: Pool<u16>,
}

impl Arena {
    /// A buffer of `len` floats.
    pub fn take(&mut self, len: usize) -> Buffer {
        self.floats.take(len)
    }

    /// Gives a buffer back for later use.
    pub fn give(&mut self, buffer: Buffer) {
        self.floats.spare.push(buffer);
    }

    /// A buffer of `len` words, each two numbers in bf16.
    pub fn take_words(&mut self, len: usize) -> Buffer<u32> {
        self.words.take(len)
    }

    /// Gives a buffer back for later use.
    pub fn give_words(&mut self, buffer: Buffer<u32>) {
        self.words.spare.push(buffer);
    }

    /// A buffer of `len` numbers in bf16.
    pub fn take_halves(&mut self, len: usize) -> Buffer<u16> {
        self.halves.take(len)
    }

    /// Gives a buffer back for later use.
    pub fn give_halves(&mut self, buffer: Buffer<u16>) {
        self.halves.spare.push(buffer);
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
        assert!(arena.floats.spare.is_empty());
        arena.give(again);
        assert_eq!(arena.take(2000).len(), 2000);
        assert!(arena.floats.spare.is_empty());
    }
}
