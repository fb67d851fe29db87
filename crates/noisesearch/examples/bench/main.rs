//! Our side of the comparison with PyTorch:
//! `bench SUBJECT "PRECISION [DEVICE]" [ARGUMENTS AS JSON]`.
//!
//! Loads its subject once, then answers every line on stdin with a line on stdout: `run` with the
//! seconds of one run, `save PATH` after writing the result's numbers there as little-endian f32.
//! `benches/peer.py` is the other side; it answers alike, on the same weights and inputs, which
//! both sides make from names (`noisesearch_models::parity`).

mod generated;
mod images;
mod pipeline;
mod transformers;

use candle_core::{DType, Tensor};
use noisesearch_models::layers::{Place, Products, SumOrder};
use serde_json::Value;
use std::error::Error;
use std::io::BufRead;
use std::time::Instant;

/// What can be asked for, or why not.
type Fallible<T> = Result<T, Box<dyn Error>>;
/// Runs a loaded subject once.
type Work = Box<dyn FnMut() -> Fallible<Tensor>>;

/// A time is the mean of runs that take at least this long together.
const SECONDS_MIN: f64 = 0.2;

/// Loads a subject.
fn subject(name: &str, place: &Place, how: &Value) -> Fallible<Work> {
    match name {
        "sit" => transformers::sit(place, how),
        "flux" => transformers::flux(place, how),
        "clip" => transformers::clip(place, how),
        "conv" => images::conv(place, how),
        "unet" => images::unet(place, how),
        "vae" => images::vae(place, how),
        "scenes" => images::scenes(place, how),
        "best-of" => pipeline::best_of(place, how),
        other => Err(format!("no subject `{other}`; see benches/rows.py").into()),
    }
}

/// Where a network of this precision lives: `PRECISION [DEVICE]`, `bf16 cuda:0`.
fn place(text: &str) -> Fallible<Place> {
    let (precision, device) = text.split_once(' ').unwrap_or((text, "cpu"));
    if let Some(index) = device.strip_prefix("cuda:") {
        let dtype = match precision {
            "f32" => DType::F32,
            "bf16" => DType::BF16,
            other => {
                return Err(format!("no precision `{other}` on a GPU; there are f32, bf16").into());
            }
        };
        let device = Place::cuda_device(index.parse()?)?;
        return Ok(Place {
            device,
            dtype,
            ..Place::cpu()
        });
    }
    match precision {
        "f32" => Ok(Place::cpu()),
        "bf16" => Ok(Place::cpu_in_bf16(SumOrder::fastest())),
        "int8" => Ok(Place::cpu_with(Products::Int8)),
        other => Err(format!("no precision `{other}`; there are f32, bf16 and int8").into()),
    }
}

/// A whole number among the arguments.
fn count(how: &Value, name: &str) -> Fallible<usize> {
    let count = how[name].as_u64();
    Ok(count.ok_or_else(|| format!("the arguments have no number `{name}`"))? as usize)
}

/// Seconds of one run.
fn seconds(work: &mut Work) -> Fallible<f64> {
    let (start, mut runs) = (Instant::now(), 0);
    loop {
        work()?.device().synchronize()?;
        runs += 1;
        let all = start.elapsed().as_secs_f64();
        if all >= SECONDS_MIN {
            return Ok(all / f64::from(runs));
        }
    }
}

fn save(result: &Tensor, path: &str) -> Fallible<()> {
    let numbers = result.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    Ok(std::fs::write(path, bytes)?)
}

fn main() -> Fallible<()> {
    noisesearch_allocator::keep_freed_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, precision, how @ ..] = arguments.as_slice() else {
        return Err("usage: bench SUBJECT PRECISION [ARGUMENTS AS JSON]".into());
    };
    let how = serde_json::from_str(how.first().map_or("{}", String::as_str))?;
    let mut work = subject(name, &place(precision)?, &how)?;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        match line?.split_once(' ') {
            Some(("save", path)) => {
                save(&work()?, path)?;
                println!("saved");
            }
            _ => println!("{}", seconds(&mut work)?),
        }
    }
    Ok(())
}
