#include "kernel_loop.hpp"

#include <algorithm>

#include "engine.hpp"
#include "kernel.hpp"
#include "range.hpp"

namespace fastflow::py {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kSignalCheck{50};

struct Loop {
  KernelFunction function;
  void* data;
  std::int64_t start, step;
};

void run_span(std::int64_t begin, std::int64_t end, void* argument) {
  const Loop& loop = *static_cast<const Loop*>(argument);
  const KernelFunction function = loop.function;
  void* const data = loop.data;
  const std::int64_t step = loop.step;
  std::int64_t index = loop.start + begin * step;
  for (std::int64_t i = begin; i < end; ++i, index += step) function(index, data);
}

// One block; false with an exception (Ctrl-C; what was not started never runs).
bool run_block(Engine* e, Loop& loop, std::int64_t n, std::uint32_t most, bool help) {
  // The creator counts as a participant even if it only watches.
  RangeJob* job =
      RangeJob::create(*e->pool, n, run_span, &loop, help ? most : most + 1);
  bool helping = help, done = false, good = true;
  if (!help) job->start();
  while (!done) {
    {
      Detached detached;
      if (helping && good) {
        helping = !job->help(Clock::now() + kSignalCheck);
      }
      if (!helping || !good) done = job->wait_for(kSignalCheck);
    }
    if (!done && good && PyErr_CheckSignals() < 0) {
      good = false;
      job->cancel();
      if (helping) (void)job->help(Clock::time_point::max());
      helping = false;
    }
  }
  job->release();
  return good;
}

}  // namespace

PyObject* kernel_loop(PyObject*, PyObject* args) {
  PyObject *engine, *kernel;
  long long start, step, n;
  int most, help;
  if (!PyArg_ParseTuple(args, "O!O!LLLip:kernel_loop", engine_type, &engine,
                        kernel_type, &kernel, &start, &step, &n, &most, &help)) {
    return nullptr;
  }
  auto* e = reinterpret_cast<Engine*>(engine);
  if (!accepts_work(e)) return nullptr;
  Loop loop{kernel_of(kernel)->function, kernel_of(kernel)->data, start, step};
  for (std::int64_t from = 0; from < n; from += RangeJob::kMost) {
    const std::int64_t block = std::min<std::int64_t>(n - from, RangeJob::kMost);
    loop.start = start + from * step;
    if (!run_block(e, loop, block, static_cast<std::uint32_t>(most), help != 0)) {
      return nullptr;
    }
  }
  Py_RETURN_NONE;
}

}  // namespace fastflow::py
