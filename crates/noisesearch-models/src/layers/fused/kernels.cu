// What follows or precedes a matrix product on a GPU, each in one pass over memory.
//
// `build.rs` compiles this text once for every number format: NUMBER is float, __half or
// __nv_bfloat16. Arithmetic is in f32 and a result is rounded once. `emulate.cpp` compiles the
// same text for the CPU, where the tests hold it to our CPU kernels.
//
// Rows are the last dimension. A thread moves 16 bytes at a time, so the numbers of a row, and
// those between two rows, are multiples of WIDE. A sum over a row has one order that depends on
// the length of the row only: neighbours and batch change no bit.

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#define KERNEL extern "C" __global__ void __launch_bounds__(256)
#endif

typedef NUMBER T;
typedef unsigned int uint;

constexpr uint WARP = 32;
constexpr uint ALL_LANES = 0xffffffff;
constexpr uint WIDE = 16 / sizeof(T);

// Numbers that are read or written at once.
struct alignas(16) Pack {
  T at[WIDE];
};

__device__ inline Pack read(const T* x) { return *reinterpret_cast<const Pack*>(x); }

__device__ inline void write(T* out, const Pack& pack) { *reinterpret_cast<Pack*>(out) = pack; }

// ---------------------------------------------------------------------------------------------
// Sums over a row. A row is the work of blockDim.x threads: a warp of its own or a whole block.

struct Sum {
  __device__ static float join(float a, float b) { return a + b; }
};

struct Max {
  __device__ static float join(float a, float b) { return fmaxf(a, b); }
};

// What all threads of a row have together, in each of them.
template <class Kind>
__device__ float over_row(float x) {
  for (uint apart = WARP / 2; apart > 0; apart /= 2) {
    x = Kind::join(x, __shfl_xor_sync(ALL_LANES, x, apart));
  }
  if (blockDim.x == WARP) return x;
  __shared__ float of_warp[WARP];
  if (threadIdx.x % WARP == 0) of_warp[threadIdx.x / WARP] = x;
  __syncthreads();
  x = of_warp[0];
  for (uint i = 1; i < blockDim.x / WARP; i++) x = Kind::join(x, of_warp[i]);
  __syncthreads();  // the next call writes only when all have read
  return x;
}

// The row of this thread; rows are numbered through blocks and the y of their threads.
__device__ inline uint this_row() { return blockIdx.x * blockDim.y + threadIdx.y; }

// The sum of (x - mean)^2 over a row.
__device__ float squares(const T* x, uint channels, float mean) {
  float sum = 0;
  for (uint c = threadIdx.x * WIDE; c < channels; c += blockDim.x * WIDE) {
    Pack pack = read(x + c);
    for (uint i = 0; i < WIDE; i++) {
      float from_mean = float(pack.at[i]) - mean;
      sum += from_mean * from_mean;
    }
  }
  return over_row<Sum>(sum);
}

// out = (plus + scale) (x - mean) / sqrt(var + eps) + shift. One image of `tokens` rows has one
// scale and shift, `apart` numbers behind those of the image before it. The row is read three
// times, of which all but the first find it in the cache.
KERNEL layer_norm(T* out, const T* x, const T* scale, const T* shift, uint rows, uint channels,
                  uint tokens, uint apart, float plus, float eps) {
  uint row = this_row();
  if (row >= rows) return;
  x += size_t(row) * channels;
  out += size_t(row) * channels;
  scale += size_t(row / tokens) * apart;
  shift += size_t(row / tokens) * apart;
  float sum = 0;
  for (uint c = threadIdx.x * WIDE; c < channels; c += blockDim.x * WIDE) {
    Pack pack = read(x + c);
    for (uint i = 0; i < WIDE; i++) sum += float(pack.at[i]);
  }
  float mean = over_row<Sum>(sum) / channels;
  float inverse = 1 / sqrtf(squares(x, channels, mean) / channels + eps);
  for (uint c = threadIdx.x * WIDE; c < channels; c += blockDim.x * WIDE) {
    Pack pack = read(x + c), factor = read(scale + c), summand = read(shift + c);
    for (uint i = 0; i < WIDE; i++) {
      float y = (float(pack.at[i]) - mean) * inverse;
      pack.at[i] = T(y * (float(factor.at[i]) + plus) + float(summand.at[i]));
    }
    write(out + c, pack);
  }
}

// out = scale x / sqrt(mean(x^2) + eps). `heads` rows lie side by side, and the next ones `apart`
// numbers behind them: so queries are normalised as they lie among keys and values.
KERNEL rms_norm(T* out, const T* x, const T* scale, uint rows, uint channels, uint heads,
                uint apart, float eps) {
  uint row = this_row();
  if (row >= rows) return;
  x += size_t(row / heads) * apart + row % heads * channels;
  out += size_t(row) * channels;
  float inverse = 1 / sqrtf(squares(x, channels, 0) / channels + eps);
  for (uint c = threadIdx.x * WIDE; c < channels; c += blockDim.x * WIDE) {
    Pack pack = read(x + c), factor = read(scale + c);
    for (uint i = 0; i < WIDE; i++) {
      pack.at[i] = T(float(pack.at[i]) * inverse * float(factor.at[i]));
    }
    write(out + c, pack);
  }
}

// Rows of scores to weights: out = softmax(scale x + bias). A row belongs to a query of a head
// of an image; `bias` may be absent. Rows may have any length, so numbers are moved one by one.
KERNEL softmax(T* out, const T* x, const float* bias, uint rows, uint keys, uint queries,
               uint heads, uint head_apart, uint query_apart, float scale) {
  uint row = this_row();
  if (row >= rows) return;
  x += size_t(row) * keys;
  out += size_t(row) * keys;
  if (bias) bias += size_t(row / queries % heads) * head_apart + row % queries * query_apart;
  auto score = [&](uint key) { return scale * float(x[key]) + (bias ? bias[key] : 0.0f); };
  float top = -INFINITY;
  for (uint key = threadIdx.x; key < keys; key += blockDim.x) top = fmaxf(top, score(key));
  top = over_row<Max>(top);
  float sum = 0;
  for (uint key = threadIdx.x; key < keys; key += blockDim.x) sum += expf(score(key) - top);
  float inverse = 1 / over_row<Sum>(sum);
  for (uint key = threadIdx.x; key < keys; key += blockDim.x) {
    out[key] = T(expf(score(key) - top) * inverse);
  }
}

// ---------------------------------------------------------------------------------------------
// Elementwise. A thread has WIDE numbers of a row.

// Where a thread works: a row and its first number there.
struct Place {
  uint row, c;
};

__device__ inline Place this_place(uint channels) {
  uint pack = blockIdx.x * blockDim.x + threadIdx.x, packs = channels / WIDE;
  return {pack / packs, pack % packs * WIDE};
}

// The functions in the order of `Activation` in `fused/mod.rs`; the last is none.
__device__ inline float activated(float x, uint function) {
  switch (function) {
    case 0: return x / (1 + expf(-x));                                       // SiLU
    case 1: return 0.5f * x * (1 + erff(x * 0.70710678f));                   // GELU
    case 2: return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case 3: return x / (1 + expf(-1.702f * x));                              // quick GELU
    case 4: return fmaxf(x, 0);                                              // ReLU
    default: return x;
  }
}

// out = f(x + bias). An image of `tokens` rows has one bias, `apart` numbers behind that of the
// image before it; `bias` may be absent.
KERNEL activate(T* out, const T* x, const T* bias, uint rows, uint channels, uint tokens,
                uint apart, uint function) {
  auto [row, c] = this_place(channels);
  if (row >= rows) return;
  Pack pack = read(x + size_t(row) * channels + c), summand = {};
  if (bias) summand = read(bias + size_t(row / tokens) * apart + c);
  for (uint i = 0; i < WIDE; i++) {
    pack.at[i] = T(activated(float(pack.at[i]) + float(summand.at[i]), function));
  }
  write(out + size_t(row) * channels + c, pack);
}

// out = (value + bias) f(gate + bias), with value and gate side by side in a row of 2 channels.
KERNEL gated(T* out, const T* x, const T* bias, uint rows, uint channels, uint function) {
  auto [row, c] = this_place(channels);
  if (row >= rows) return;
  x += size_t(row) * 2 * channels + c;
  Pack value = read(x), gate = read(x + channels), to_value = {}, to_gate = {};
  if (bias) to_value = read(bias + c), to_gate = read(bias + channels + c);
  for (uint i = 0; i < WIDE; i++) {
    float opened = activated(float(gate.at[i]) + float(to_gate.at[i]), function);
    value.at[i] = T((float(value.at[i]) + float(to_value.at[i])) * opened);
  }
  write(out + size_t(row) * channels + c, value);
}

// out = x + gate (y + bias). An image of `tokens` rows has one gate, `apart` numbers behind that
// of the image before it; `gate` and `bias` may be absent.
KERNEL join(T* out, const T* x, const T* y, const T* gate, const T* bias, uint rows,
            uint channels, uint tokens, uint apart) {
  auto [row, c] = this_place(channels);
  if (row >= rows) return;
  size_t at = size_t(row) * channels + c;
  Pack stream = read(x + at), branch = read(y + at), factor = {}, summand = {};
  if (gate) factor = read(gate + size_t(row / tokens) * apart + c);
  if (bias) summand = read(bias + c);
  for (uint i = 0; i < WIDE; i++) {
    float added = float(branch.at[i]) + float(summand.at[i]);
    if (gate) added *= float(factor.at[i]);
    stream.at[i] = T(float(stream.at[i]) + added);
  }
  write(out + at, stream);
}

// Rotary positions: neighbours (x, y) of a head are turned by the angle of their token and
// frequency, of which cosines and sines are `[tokens, half]`.
KERNEL rotary(T* out, const T* x, const float* cosines, const float* sines, uint rows,
              uint channels, uint tokens, uint half) {
  auto [row, c] = this_place(channels);
  if (row >= rows) return;
  size_t at = size_t(row) * channels + c;
  size_t angle = size_t(row % tokens) * half + c % (2 * half) / 2;
  Pack pack = read(x + at);
  for (uint i = 0; i < WIDE; i += 2) {
    float cosine = cosines[angle + i / 2], sine = sines[angle + i / 2];
    float a = float(pack.at[i]), b = float(pack.at[i + 1]);
    pack.at[i] = T(a * cosine - b * sine);
    pack.at[i + 1] = T(b * cosine + a * sine);
  }
  write(out + at, pack);
}

// ---------------------------------------------------------------------------------------------
// Group norm of images `[b, pixels, channels]` in three steps: moments of every channel over
// parts of an image, one factor and summand a channel, and their use.

// Means and sums of squares about them over `part` pixels, to `[b, parts, 2, channels]`. Sums
// are of distances from the part's first pixel, so that a large mean costs no digits.
KERNEL moments(float* out, const T* x, uint b, uint pixels, uint channels, uint part) {
  uint parts = (pixels + part - 1) / part;
  auto [row, c] = this_place(channels);
  if (row >= b * parts) return;
  uint begin = row % parts * part, count = min(part, pixels - begin);
  x += (size_t(row / parts) * pixels + begin) * channels + c;
  Pack first = read(x);
  float sum[WIDE] = {}, square[WIDE] = {};
  for (uint pixel = 1; pixel < count; pixel++) {
    Pack pack = read(x + size_t(pixel) * channels);
    for (uint i = 0; i < WIDE; i++) {
      float distance = float(pack.at[i]) - float(first.at[i]);
      sum[i] += distance;
      square[i] += distance * distance;
    }
  }
  out += size_t(row) * 2 * channels + c;
  for (uint i = 0; i < WIDE; i++) {
    float mean = sum[i] / count;
    out[i] = float(first.at[i]) + mean;
    out[channels + i] = square[i] - mean * sum[i];
  }
}

// A block's group of an image: from its moments to a factor and a summand for every channel,
// `[b, 2, channels]`. Moments of parts are joined as in Chan et al. 1979.
KERNEL fit(float* out, const float* moments, const T* scale, const T* shift, uint groups,
           uint pixels, uint channels, uint part, float eps) {
  uint parts = (pixels + part - 1) / part, size = channels / groups;
  uint first = blockIdx.x % groups * size, image = blockIdx.x / groups;
  moments += size_t(image) * parts * 2 * channels + first;
  float count = float(pixels) * size;
  auto pixels_of = [&](uint i) { return float(min(part, pixels - i / size * part)); };
  auto moment = [&](uint i) { return moments + size_t(i / size) * 2 * channels + i % size; };
  float sum = 0;
  for (uint i = threadIdx.x; i < parts * size; i += blockDim.x) sum += pixels_of(i) * *moment(i);
  float mean = over_row<Sum>(sum) / count;
  float square = 0;
  for (uint i = threadIdx.x; i < parts * size; i += blockDim.x) {
    float from_mean = *moment(i) - mean;
    square += moment(i)[channels] + pixels_of(i) * from_mean * from_mean;
  }
  float inverse = 1 / sqrtf(over_row<Sum>(square) / count + eps);
  out += size_t(image) * 2 * channels;
  for (uint c = first + threadIdx.x; c < first + size; c += blockDim.x) {
    float factor = float(scale[c]) * inverse;
    out[c] = factor;
    out[channels + c] = float(shift[c]) - mean * factor;
  }
}

// out = f(factor x + summand), one factor and summand for every channel of an image.
KERNEL fitted(T* out, const T* x, const float* fit, uint rows, uint channels, uint pixels,
              uint function) {
  auto [row, c] = this_place(channels);
  if (row >= rows) return;
  fit += size_t(row / pixels) * 2 * channels + c;
  Pack pack = read(x + size_t(row) * channels + c);
  for (uint i = 0; i < WIDE; i++) {
    pack.at[i] = T(activated(float(pack.at[i]) * fit[i] + fit[channels + i], function));
  }
  write(out + size_t(row) * channels + c, pack);
}
