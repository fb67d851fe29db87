//! Calls on a CUDA device. The only code of ours that holds device pointers.

use super::{Arg, Call};
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg, SyncOnDrop,
};
use candle_core::cuda_backend::{CudaStorage, CudaStorageSlice as Slice};
use candle_core::op::BackpropOp;
use candle_core::{
    CudaDevice, DType, Device, Error, Layout, Result, Storage, StorageRef, Tensor, bail,
};

/// The kernels for a number format: what their module is called, and its text as `build.rs` has
/// compiled it.
fn module(format: DType) -> Result<[&'static str; 2]> {
    macro_rules! compiled {
        ($format:literal) => {
            include_str!(concat!(env!("OUT_DIR"), "/", $format, ".ptx"))
        };
    }
    Ok(match format {
        DType::F32 => ["noisesearch_f32", compiled!("f32")],
        DType::F16 => ["noisesearch_f16", compiled!("f16")],
        DType::BF16 => ["noisesearch_bf16", compiled!("bf16")],
        _ => bail!("there are no kernels for {format:?}"),
    })
}

/// What a kernel is given.
enum Value {
    Pointer(u64),
    Count(u32),
    Real(f32),
}

/// Runs a call on the device of its tensors.
pub(super) fn launch(call: &Call) -> Result<Tensor> {
    let device = device(call)?;
    let [name, text] = module(call.format)?;
    let function = device.get_or_load_custom_func(call.kernel, name, text)?;
    let stream = device.cuda_stream();
    let mut out = room(device, call)?;
    // Guards are kept until after the launch: they tell other streams when a tensor is free again.
    let (to, written) = out_pointer(&mut out, &stream)?;
    let lying: Vec<_> = call.args.iter().map(storage).collect();
    let (mut values, mut reads) = (vec![Value::Pointer(to)], Vec::new());
    for (arg, lying) in call.args.iter().zip(&lying) {
        values.push(match (arg, lying) {
            (Arg::Count(n), _) => Value::Count(u32::try_from(*n)?),
            (Arg::Real(x), _) => Value::Real(*x),
            (Arg::Tensor(_), Some((storage, layout))) => {
                let (from, read) = pointer(storage, layout, &stream)?;
                reads.push(read);
                Value::Pointer(from)
            }
            _ => Value::Pointer(0),
        });
    }
    let mut builder = function.builder();
    for value in &values {
        match value {
            Value::Pointer(pointer) => builder.arg(pointer),
            Value::Count(n) => builder.arg(n),
            Value::Real(x) => builder.arg(x),
        };
    }
    let config = LaunchConfig {
        grid_dim: (u32::try_from(call.blocks)?, 1, 1),
        block_dim: (call.threads[0] as u32, call.threads[1] as u32, 1),
        shared_mem_bytes: 0,
    };
    let wrong = |error| Error::wrap(error).context(call.to_string());
    // SAFETY: the arguments are those of the kernel, and the sizes among them are those of the
    // tensors: a `Call` compares shapes and formats. The tests run the same calls between guards.
    unsafe { builder.launch(config) }.map_err(wrong)?;
    drop((written, reads));
    let shape = call.shape.as_slice();
    let out = Storage::Cuda(out);
    Ok(Tensor::from_storage(out, shape, BackpropOp::none(), false))
}

fn device(call: &Call) -> Result<&CudaDevice> {
    let mut tensors = call.args.iter().filter_map(|arg| match arg {
        Arg::Tensor(x) => Some(x.device()),
        _ => None,
    });
    match tensors.next() {
        Some(Device::Cuda(device)) => Ok(device),
        _ => bail!("`{}` was given no tensor on a GPU", call.kernel),
    }
}

fn storage(arg: &Arg) -> Option<(StorageRef<'_>, &Layout)> {
    match arg {
        Arg::Tensor(x) => Some(x.storage_and_layout()),
        _ => None,
    }
}

/// Memory for the result. Every kernel writes all of it.
fn room(device: &CudaDevice, call: &Call) -> Result<CudaStorage> {
    let len = call.shape.iter().product();
    // SAFETY: nothing reads it before the kernel, which follows on the same stream, has written it.
    let slice = unsafe {
        match call.out {
            DType::F32 => Slice::F32(device.alloc(len)?),
            DType::F16 => Slice::F16(device.alloc(len)?),
            DType::BF16 => Slice::BF16(device.alloc(len)?),
            other => bail!("no kernel makes {other:?}"),
        }
    };
    let device = device.clone();
    Ok(CudaStorage { slice, device })
}

fn out_pointer<'a>(
    out: &'a mut CudaStorage,
    stream: &'a CudaStream,
) -> Result<(u64, SyncOnDrop<'a>)> {
    Ok(match &mut out.slice {
        Slice::F32(slice) => slice.device_ptr_mut(stream),
        Slice::F16(slice) => slice.device_ptr_mut(stream),
        Slice::BF16(slice) => slice.device_ptr_mut(stream),
        _ => bail!("no kernel makes this format"),
    })
}

/// Where a tensor begins.
fn pointer<'a>(
    storage: &'a Storage,
    layout: &Layout,
    stream: &'a CudaStream,
) -> Result<(u64, SyncOnDrop<'a>)> {
    fn from<'a, T>(
        slice: &'a CudaSlice<T>,
        first: usize,
        stream: &'a CudaStream,
    ) -> (u64, SyncOnDrop<'a>) {
        let (base, guard) = slice.device_ptr(stream);
        (base + (first * size_of::<T>()) as u64, guard)
    }
    let Storage::Cuda(storage) = storage else {
        bail!("a kernel was given a tensor of another device")
    };
    let first = layout.start_offset();
    Ok(match &storage.slice {
        Slice::F32(slice) => from(slice, first, stream),
        Slice::F16(slice) => from(slice, first, stream),
        Slice::BF16(slice) => from(slice, first, stream),
        _ => bail!("no kernel reads {:?}", storage.slice),
    })
}
