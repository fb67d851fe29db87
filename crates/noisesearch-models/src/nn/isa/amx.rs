//! Matrix tiles (Intel AMX): eight registers of 16 rows of 64 bytes, of which four hold results.
//!
//! The instructions are written as text, because stable Rust has no functions for them. The
//! compiler itself never uses tile registers, so they keep their contents between functions.

use super::Words;
#[cfg(target_arch = "x86_64")]
use std::arch::asm;

#[cfg(target_arch = "x86_64")]
const ROWS: usize = 16;
/// Bytes in a row of a tile.
#[cfg(target_arch = "x86_64")]
const WIDTH: usize = 64;

/// Whether the processor has tiles of bf16 and of int8, and the system lets this process use them.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(super) fn available() -> bool {
    use std::arch::x86_64::__cpuid_count;
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    const INT8: u32 = 1 << 25;
    let all = BF16 | TILES | INT8;
    __cpuid_count(7, 0).edx & all == all && permitted()
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
pub(super) fn available() -> bool {
    false
}

/// Asks Linux for the tile registers: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn permitted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const REQUEST: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    // SAFETY: the call changes nothing but this process's right to use the registers.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
    }
    result == 0
}

/// The instructions on tiles of rows, `$step` bytes apart, and of words.
#[cfg(target_arch = "x86_64")]
macro_rules! operate {
    ($rows:ident, $step:expr, $words:ident; $($text:expr),*) => {{
        let (a, b) = ($rows[0].as_ptr(), $rows[$rows.len() - 1].as_ptr());
        let (c, d) = ($words[0].as_ptr(), $words[$words.len() - 1].as_ptr());
        asm!($($text),*, a = in(reg) a, b = in(reg) b, c = in(reg) c, d = in(reg) d,
            step = in(reg) $step, line = in(reg) WIDTH,
            options(nostack, preserves_flags, readonly))
    }};
}

/// Result `2 m + q` gains what instruction `$dp` makes of tile `m` of rows, `$step` bytes apart,
/// and of tile `q` of words.
#[cfg(target_arch = "x86_64")]
macro_rules! multiply {
    ($dp:literal, $rows:ident, $step:expr, $words:ident) => {
        match ($rows.len(), $words.len()) {
            (1, 1) => operate!($rows, $step, $words;
                "tileloadd tmm4, [{a} + {step}*1]",
                "tileloadd tmm6, [{c} + {line}*1]",
                concat!($dp, " tmm0, tmm4, tmm6"),
                "/* {b} {d} */"
            ),
            (1, _) => operate!($rows, $step, $words;
                "tileloadd tmm4, [{a} + {step}*1]",
                "tileloadd tmm6, [{c} + {line}*1]",
                concat!($dp, " tmm0, tmm4, tmm6"),
                "tileloadd tmm7, [{d} + {line}*1]",
                concat!($dp, " tmm1, tmm4, tmm7"),
                "/* {b} */"
            ),
            (_, 1) => operate!($rows, $step, $words;
                "tileloadd tmm4, [{a} + {step}*1]",
                "tileloadd tmm6, [{c} + {line}*1]",
                concat!($dp, " tmm0, tmm4, tmm6"),
                "tileloadd tmm5, [{b} + {step}*1]",
                concat!($dp, " tmm2, tmm5, tmm6"),
                "/* {d} */"
            ),
            _ => operate!($rows, $step, $words;
                "tileloadd tmm4, [{a} + {step}*1]",
                "tileloadd tmm6, [{c} + {line}*1]",
                concat!($dp, " tmm0, tmm4, tmm6"),
                "tileloadd tmm7, [{d} + {line}*1]",
                concat!($dp, " tmm1, tmm4, tmm7"),
                "tileloadd tmm5, [{b} + {step}*1]",
                concat!($dp, " tmm2, tmm5, tmm6"),
                concat!($dp, " tmm3, tmm5, tmm7")
            ),
        }
    };
}

/// The tile registers of this thread, all of 16 rows of 64 bytes: 0 to 3 for results, the others
/// for operands. Made only where [`super::Isa::has_tiles`].
pub(crate) struct Tiles(());

#[cfg(target_arch = "x86_64")]
impl Tiles {
    /// Sets the registers up.
    #[inline(always)]
    pub fn open(isa: super::Isa) -> Self {
        assert!(
            isa.has_tiles(),
            "tiles are asked for where the processor has them"
        );
        #[repr(C, align(64))]
        struct Config([u8; 64]);
        let mut config = Config([0; 64]);
        config.0[0] = 1;
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64;
            config.0[48 + tile] = ROWS as u8;
        }
        // SAFETY: the processor has tiles, and this is a configuration in its format.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, preserves_flags)) };
        Self(())
    }

    /// Every row of a result becomes these 16 floats.
    #[inline(always)]
    pub fn set(&self, tile: usize, row: &[f32; 16]) {
        let row = row.as_ptr();
        macro_rules! set {
            ($name:literal) => {
                // SAFETY: all rows are read from the same 64 bytes.
                unsafe {
                    asm!(concat!("tileloadd ", $name, ", [{} + {}*1]"), in(reg) row,
                        in(reg) 0_usize, options(nostack, preserves_flags, readonly))
                }
            };
        }
        match tile {
            0 => set!("tmm0"),
            1 => set!("tmm1"),
            2 => set!("tmm2"),
            _ => set!("tmm3"),
        }
    }

    /// A result becomes zero.
    #[inline(always)]
    pub fn zero(&self, tile: usize) {
        macro_rules! zero {
            ($name:literal) => {
                // SAFETY: only a register is written.
                unsafe {
                    asm!(
                        concat!("tilezero ", $name),
                        options(nostack, preserves_flags)
                    )
                }
            };
        }
        match tile {
            0 => zero!("tmm0"),
            1 => zero!("tmm1"),
            2 => zero!("tmm2"),
            _ => zero!("tmm3"),
        }
    }

    /// A result's rows become these, `stride` floats apart.
    #[inline(always)]
    pub fn put(&self, tile: usize, rows: &[f32], stride: usize) {
        assert!(rows.len() >= (ROWS - 1) * stride + 16, "no whole tile");
        let (rows, stride) = (rows.as_ptr(), 4 * stride);
        macro_rules! put {
            ($name:literal) => {
                // SAFETY: 16 rows of 64 bytes are there, as was checked.
                unsafe {
                    asm!(concat!("tileloadd ", $name, ", [{} + {}*1]"), in(reg) rows,
                        in(reg) stride, options(nostack, preserves_flags, readonly))
                }
            };
        }
        match tile {
            0 => put!("tmm0"),
            1 => put!("tmm1"),
            2 => put!("tmm2"),
            _ => put!("tmm3"),
        }
    }

    /// Writes a result's rows, `stride` floats apart.
    #[inline(always)]
    pub fn get(&self, tile: usize, out: &mut [f32], stride: usize) {
        assert!(out.len() >= (ROWS - 1) * stride + 16, "no room for a tile");
        let (out, stride) = (out.as_mut_ptr(), 4 * stride);
        macro_rules! get {
            ($name:literal) => {
                // SAFETY: 16 rows of 64 bytes fit, as was checked.
                unsafe {
                    asm!(concat!("tilestored [{} + {}*1], ", $name), in(reg) out,
                        in(reg) stride, options(nostack, preserves_flags))
                }
            };
        }
        match tile {
            0 => get!("tmm0"),
            1 => get!("tmm1"),
            2 => get!("tmm2"),
            _ => get!("tmm3"),
        }
    }

    /// Result `2 m + q` gains the product of rows `m` (32 numbers in bf16 each, `step` apart) and
    /// of the 16 lines of words `q`.
    #[inline(always)]
    pub fn multiply<const M: usize, const Q: usize>(
        &self,
        rows: [&[u16]; M],
        step: usize,
        words: [&[[u32; 16]]; Q],
    ) {
        assert!(
            rows.iter()
                .all(|r| 2 * r.len() >= (ROWS - 1) * 2 * step + WIDTH)
        );
        assert!(words.iter().all(|w| w.len() >= ROWS));
        // SAFETY: the lengths of what is read were checked.
        unsafe { multiply!("tdpbf16ps", rows, 2 * step, words) }
    }

    /// The same of 64 numbers in int8 each; results are i32.
    #[inline(always)]
    pub fn multiply_int8<const M: usize, const Q: usize>(
        &self,
        rows: [&[u8]; M],
        step: usize,
        words: [&[Words]; Q],
    ) {
        assert!(rows.iter().all(|r| r.len() >= (ROWS - 1) * step + WIDTH));
        assert!(words.iter().all(|w| w.len() >= ROWS));
        // SAFETY: the lengths of what is read were checked.
        unsafe { multiply!("tdpbssd", rows, step, words) }
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Tiles {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: the processor has tiles; released, they cost nothing at a change of threads.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags)) };
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Tiles {
    pub fn open(_: super::Isa) -> Self {
        unreachable!("tiles are asked for where the processor has them")
    }
    pub fn set(&self, _: usize, _: &[f32; 16]) {}
    pub fn zero(&self, _: usize) {}
    pub fn put(&self, _: usize, _: &[f32], _: usize) {}
    pub fn get(&self, _: usize, _: &mut [f32], _: usize) {}
    pub fn multiply<const M: usize, const Q: usize>(
        &self,
        _: [&[u16]; M],
        _: usize,
        _: [&[[u32; 16]]; Q],
    ) {
    }
    pub fn multiply_int8<const M: usize, const Q: usize>(
        &self,
        _: [&[u8]; M],
        _: usize,
        _: [&[Words]; Q],
    ) {
    }
}
