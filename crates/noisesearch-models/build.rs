//! Compiles the kernels of the GPU route, if that is built; nothing else needs this script.
//!
//! To PTX, the assembler that a driver finishes for its own GPU: one text for compute capability
//! 8.0 and everything newer. `nvcc` has to be there for candle's kernels anyway.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fmt};

const SOURCE: &str = "src/layers/fused/kernels.cu";

/// Number formats: what the module is called, and the type in CUDA.
const FORMATS: [(&str, &str); 3] = [
    ("f32", "float"),
    ("f16", "__half"),
    ("bf16", "__nv_bfloat16"),
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=NVCC");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let nvcc = env::var("NVCC").unwrap_or_else(|_| "nvcc".to_owned());
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for (name, number) in FORMATS {
        let mut compile = Command::new(&nvcc);
        compile.args(["--ptx", "-arch=compute_80", "-std=c++17", "-O3", SOURCE]);
        compile.arg(format!("-DNUMBER={number}"));
        compile
            .arg("-o")
            .arg(folder.join(name).with_extension("ptx"));
        match compile.status() {
            Ok(status) if status.success() => {}
            Ok(status) => fail(format_args!("`{nvcc}` on {SOURCE}: {status}")),
            Err(error) => fail(format_args!(
                "cannot run `{nvcc}`: {error}; scripts/build-cuda.sh fetches it, or NVCC names it"
            )),
        }
    }
}

fn fail(what: fmt::Arguments) {
    println!("cargo::error={what}");
}
