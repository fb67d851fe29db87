//! Calls on the CPU: `emulate.cpp` compiled once a process, and asked on its standard input.

use super::{Arg, Call};
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor, bail};
use std::cell::RefCell;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

fn compiler() -> String {
    std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned())
}

/// Whether there is a C++ compiler. Without one, tests of kernels say that they are skipped; where
/// `CI` is set, nothing is.
pub(super) fn is_there() -> bool {
    let asked = Command::new(compiler()).arg("--version").output();
    let there = asked.is_ok_and(|said| said.status.success());
    if !there {
        let missing = format!("no C++ compiler `{}` for the kernels of CUDA", compiler());
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("SKIPPED: {missing}");
    }
    there
}

/// The compiled emulator.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/layers/fused/emulate.cpp");
        let program = Path::new(env!("OUT_DIR")).join(format!("emulate-{}", std::process::id()));
        let compiler = compiler();
        let done = Command::new(&compiler)
            .args(["-std=c++17", "-O1", "-fsanitize=undefined"])
            .arg("-fsanitize-undefined-trap-on-error")
            .arg("-o")
            .args([&program, &source])
            .output()
            .unwrap_or_else(|e| panic!("`{compiler}`: {e}"));
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{compiler} {source:?}: {said}");
        program
    })
}

thread_local! {
    /// The kernels that ran since this thread's calls are emulated.
    static RAN: RefCell<Option<Vec<&'static str>>> = const { RefCell::new(None) };
}

/// Whether the emulator stands in for a GPU on this thread.
pub(super) fn stands_in() -> bool {
    RAN.with_borrow(Option::is_some)
}

/// Does some work whose calls are emulated, and tells which kernels ran.
pub(super) fn instead<R>(work: impl FnOnce() -> R) -> (R, Vec<&'static str>) {
    RAN.set(Some(Vec::new()));
    let done = work();
    (done, RAN.take().unwrap_or_default())
}

fn name(format: DType) -> &'static str {
    match format {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        _ => "f32",
    }
}

/// All bytes of a tensor's storage, and where among them it begins.
fn bytes(x: &Tensor) -> Result<(Vec<u8>, usize)> {
    fn all<T: Copy, const N: usize>(x: &[T], f: fn(T) -> [u8; N]) -> Vec<u8> {
        x.iter().flat_map(|&x| f(x)).collect()
    }
    let (storage, layout) = x.storage_and_layout();
    let bytes = match &*storage {
        Storage::Cpu(CpuStorage::F32(x)) => all(x, f32::to_le_bytes),
        Storage::Cpu(CpuStorage::F16(x)) => all(x, half::f16::to_le_bytes),
        Storage::Cpu(CpuStorage::BF16(x)) => all(x, half::bf16::to_le_bytes),
        _ => bail!("the emulator takes no {x:?}"),
    };
    Ok((bytes, layout.start_offset() * x.dtype().size_in_bytes()))
}

fn tensor(bytes: &[u8], format: DType, shape: &[usize]) -> Result<Tensor> {
    let pairs = bytes.chunks_exact(2).map(|b| [b[0], b[1]]);
    match format {
        DType::F16 => {
            let numbers: Vec<_> = pairs.map(half::f16::from_le_bytes).collect();
            Tensor::from_vec(numbers, shape, &Device::Cpu)
        }
        DType::BF16 => {
            let numbers: Vec<_> = pairs.map(half::bf16::from_le_bytes).collect();
            Tensor::from_vec(numbers, shape, &Device::Cpu)
        }
        _ => {
            let fours = bytes.chunks_exact(4).map(|b| [b[0], b[1], b[2], b[3]]);
            let numbers: Vec<_> = fours.map(f32::from_le_bytes).collect();
            Tensor::from_vec(numbers, shape, &Device::Cpu)
        }
    }
}

/// What the kernel of a call makes of its arguments.
pub(super) fn run(call: &Call) -> Result<Tensor> {
    RAN.with_borrow_mut(|ran| ran.iter_mut().for_each(|ran| ran.push(call.kernel)));
    let size = call.shape.iter().product::<usize>() * call.out.size_in_bytes();
    let [x, y] = call.threads;
    let (format, blocks, count) = (name(call.format), call.blocks, call.args.len());
    let mut asked =
        format!("{format} {} {blocks} {x} {y} {size} {count} ", call.kernel).into_bytes();
    for arg in &call.args {
        match arg {
            Arg::Tensor(x) => {
                let (bytes, first) = bytes(x)?;
                asked.extend(format!("p {} {first} ", bytes.len()).bytes());
                asked.extend(bytes);
            }
            Arg::Absent => asked.extend(b"p 0 "),
            Arg::Count(n) => asked.extend(format!("u {n} ").bytes()),
            Arg::Real(x) => asked.extend(format!("f {} ", x.to_bits()).bytes()),
        }
    }
    let mut running = Command::new(program())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // It reads all before it writes; one that ends early says why below.
    let written = running
        .stdin
        .take()
        .map(|mut input| input.write_all(&asked));
    let done = running.wait_with_output()?;
    if !done.status.success() || !matches!(written, Some(Ok(()))) {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("`{}` {}: {said}", call.kernel, done.status)
    }
    tensor(&done.stdout, call.out, &call.shape)
}
