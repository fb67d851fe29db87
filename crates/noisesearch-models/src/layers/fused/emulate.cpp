// Runs the kernels of `kernels.cu` on the CPU, so that their arithmetic, their indices and their
// barriers are tested where there is no GPU. Speed and the GPU's own functions are not.
//
// Every thread of a block is a fiber with a stack of its own. A fiber runs until it meets a
// shuffle, which goes on when all lanes of its warp are there, or a barrier, which goes on when
// all threads of the block are. A call runs twice, with threads in either order, and both have to
// give the same bytes: a barrier that is missing shows there. Tensors lie between guards that read
// as NaN, and results begin as NaN.
//
// Reads one call from standard input, as `emulate.rs` writes it, and writes the result's bytes.

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include <ucontext.h>

[[noreturn]] static void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

// ---------------------------------------------------------------------------------------------
// What the kernels expect of CUDA.

struct Index {
  unsigned x, y;
};
Index blockIdx, blockDim, threadIdx;

struct bfloat16 {
  uint16_t bits;
  bfloat16() = default;
  explicit bfloat16(float x) {
    uint32_t wide;
    std::memcpy(&wide, &x, 4);
    bool is_nan = x != x;
    bits = is_nan ? 0x7fff : (wide + 0x7fff + (wide >> 16 & 1)) >> 16;  // to nearest, ties to even
  }
  operator float() const {
    uint32_t wide = uint32_t(bits) << 16;
    float x;
    std::memcpy(&x, &wide, 4);
    return x;
  }
};

#define __device__
#define __shared__ static
#define KERNEL static void

static unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static void __syncthreads();
static float __shfl_xor_sync(unsigned lanes, float x, unsigned apart);

namespace f32 {
#define NUMBER float
#include "kernels.cu"
#undef NUMBER
}  // namespace f32
namespace f16 {
#define NUMBER _Float16
#include "kernels.cu"
#undef NUMBER
}  // namespace f16
namespace bf16 {
#define NUMBER bfloat16
#include "kernels.cu"
#undef NUMBER
}  // namespace bf16

// ---------------------------------------------------------------------------------------------
// A block.

enum State { RUNS, AT_SHUFFLE, AT_BARRIER, ENDED };

struct Fiber {
  ucontext_t context;
  std::vector<char> stack;
  State state;
  float given, taken;
  unsigned apart;
};

static const size_t STACK = 1 << 16;
static const unsigned LANES = 32;
static std::vector<Fiber> fibers(256);
static ucontext_t scheduler;
unsigned current;
static std::function<void()> kernel;

static void pause_at(State state) {
  fibers[current].state = state;
  unsigned self = current;
  swapcontext(&fibers[self].context, &scheduler);
}

static void __syncthreads() { pause_at(AT_BARRIER); }

static float __shfl_xor_sync(unsigned lanes, float x, unsigned apart) {
  if (lanes != 0xffffffff) fail("a shuffle of some lanes only");
  Fiber& own = fibers[current];
  own.given = x;
  own.apart = apart;
  pause_at(AT_SHUFFLE);
  return own.taken;
}

static void begin() {
  kernel();
  pause_at(ENDED);
}

// Runs a thread until it waits or ends.
static void go_on(unsigned thread) {
  current = thread;
  threadIdx = {thread % blockDim.x, thread / blockDim.x};
  swapcontext(&scheduler, &fibers[thread].context);
}

// Lets the lanes of a warp exchange their values, if all wait for that.
static void exchange(unsigned first) {
  for (unsigned lane = 0; lane < LANES; lane++) {
    if (fibers[first + lane].state != AT_SHUFFLE) fail("a shuffle that some lanes do not reach");
  }
  for (unsigned lane = 0; lane < LANES; lane++) {
    Fiber& own = fibers[first + lane];
    own.taken = fibers[first + (lane ^ own.apart)].given;
    own.state = RUNS;
  }
}

// Lets all threads pass a barrier, if all wait there; true when all have ended.
static bool pass(unsigned threads) {
  unsigned ended = 0;
  for (unsigned i = 0; i < threads; i++) ended += fibers[i].state == ENDED;
  if (ended == threads) return true;
  if (ended > 0) fail("a barrier that some threads do not reach");
  for (unsigned i = 0; i < threads; i++) fibers[i].state = RUNS;
  return false;
}

static void run_block(bool backwards) {
  unsigned threads = blockDim.x * blockDim.y;
  if (threads % LANES != 0 || threads > fibers.size()) fail("a block of odd size");
  for (unsigned i = 0; i < threads; i++) {
    Fiber& fiber = fibers[i];
    fiber.stack.resize(STACK);
    fiber.state = RUNS;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.data();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, begin, 0);
  }
  do {
    for (unsigned warp = 0; warp < threads; warp += LANES) {
      unsigned first = backwards ? threads - LANES - warp : warp;
      for (bool runs = true; runs;) {
        runs = false;
        bool shuffles = false;
        for (unsigned i = 0; i < LANES; i++) {
          unsigned thread = first + (backwards ? LANES - 1 - i : i);
          if (fibers[thread].state == RUNS) go_on(thread);
          shuffles |= fibers[thread].state == AT_SHUFFLE;
        }
        if (shuffles) exchange(first), runs = true;
      }
    }
  } while (!pass(threads));
}

// ---------------------------------------------------------------------------------------------
// A call.

// Bytes between guards that read as NaN.
struct Memory {
  static const size_t GUARD = 1 << 14;
  std::vector<unsigned char> all;
  size_t size;
  explicit Memory(size_t size) : all(size + 2 * GUARD + 16, 0xff), size(size) {}
  unsigned char* data() {
    unsigned char* begin = all.data() + GUARD;
    return begin + (16 - reinterpret_cast<uintptr_t>(begin) % 16) % 16;
  }
  bool guards_hold() {
    auto is_guard = [](unsigned char byte) { return byte == 0xff; };
    for (unsigned char* at = all.data(); at < data(); at++) {
      if (!is_guard(*at)) return false;
    }
    for (unsigned char* at = data() + size; at < all.data() + all.size(); at++) {
      if (!is_guard(*at)) return false;
    }
    return true;
  }
};

struct Arg {
  char kind;  // p: pointer, u: unsigned, f: float
  void* pointer;
  uint32_t bits;
};

static void take(const Arg& arg, unsigned& out) {
  if (arg.kind != 'u') fail("a kernel wants a count here");
  out = arg.bits;
}

static void take(const Arg& arg, float& out) {
  if (arg.kind != 'f') fail("a kernel wants a real number here");
  std::memcpy(&out, &arg.bits, 4);
}

template <class P>
static void take(const Arg& arg, P*& out) {
  if (arg.kind != 'p') fail("a kernel wants a tensor here");
  out = static_cast<P*>(const_cast<void*>(arg.pointer));
}

// A kernel that takes its arguments from a list.
template <class... A>
static std::function<void(const std::vector<Arg>&)> taking(void (*kernel)(A...)) {
  return [kernel](const std::vector<Arg>& args) {
    if (args.size() != sizeof...(A)) fail("a kernel wants another number of arguments");
    std::tuple<std::remove_const_t<A>...> values;
    size_t i = 0;
    std::apply([&](auto&... value) { (take(args[i++], value), ...); }, values);
    std::apply(kernel, values);
  };
}

#define KERNELS(format)                                            \
  {#format " layer_norm", taking(format::layer_norm)},             \
      {#format " rms_norm", taking(format::rms_norm)},             \
      {#format " softmax", taking(format::softmax)},               \
      {#format " activate", taking(format::activate)},             \
      {#format " gated", taking(format::gated)},                   \
      {#format " join", taking(format::join)},                     \
      {#format " rotary", taking(format::rotary)},                 \
      {#format " moments", taking(format::moments)},               \
      {#format " fit", taking(format::fit)}, {                     \
    #format " fitted", taking(format::fitted)                      \
  }

static const std::map<std::string, std::function<void(const std::vector<Arg>&)>> kernels = {
    KERNELS(f32), KERNELS(f16), KERNELS(bf16)};

static std::vector<unsigned char> run(const std::string& name, unsigned blocks, size_t bytes,
                                      const std::vector<Arg>& args, bool backwards) {
  auto found = kernels.find(name);
  if (found == kernels.end()) fail("no kernel `" + name + "`");
  Memory out(bytes);
  std::vector<Arg> all = {{'p', out.data(), 0}};
  all.insert(all.end(), args.begin(), args.end());
  kernel = [&] { found->second(all); };
  for (unsigned i = 0; i < blocks; i++) {
    blockIdx = {backwards ? blocks - 1 - i : i, 0};
    run_block(backwards);
  }
  if (!out.guards_hold()) fail("`" + name + "` wrote beside its result");
  return {out.data(), out.data() + bytes};
}

int main() {
  std::string format, name;
  unsigned blocks;
  size_t bytes, count;
  std::cin >> format >> name >> blocks >> blockDim.x >> blockDim.y >> bytes >> count;
  std::vector<Memory> tensors;
  tensors.reserve(count);
  std::vector<Arg> args;
  while (args.size() < count) {
    Arg arg = {0, nullptr, 0};
    size_t size;
    std::cin >> arg.kind >> size;
    if (arg.kind == 'p' && size > 0) {
      size_t first;
      std::cin >> first;
      std::cin.get();
      tensors.emplace_back(size);
      std::cin.read(reinterpret_cast<char*>(tensors.back().data()), size);
      arg.pointer = tensors.back().data() + first;
    }
    arg.bits = size;
    args.push_back(arg);
  }
  if (!std::cin) fail("the call breaks off");
  auto forwards = run(format + " " + name, blocks, bytes, args, false);
  auto backwards = run(format + " " + name, blocks, bytes, args, true);
  if (forwards != backwards) fail("`" + name + "` depends on the order of its threads");
  std::fwrite(forwards.data(), 1, bytes, stdout);
}
