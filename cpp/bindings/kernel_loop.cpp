#include "kernel_loop.hpp"

#include <algorithm>

#include "engine.hpp"
#include "kernel.hpp"
#include "keywords.hpp"
#include "range.hpp"
#include "recording.hpp"

namespace fastflow::py {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kSignalCheck{50};

struct Loop {
  const KernelObject* kernel;
  std::int64_t start, step;
  RangeJob* job = nullptr;
  std::atomic<bool> failed{false};
  std::int64_t failed_index = 0;  // these two by whoever set `failed`
  std::int32_t status = 0;
};

void run_span(std::int64_t begin, std::int64_t end, void* argument) {
  const Loop& loop = *static_cast<const Loop*>(argument);
  const KernelFunction function = loop.kernel->function;
  void* const data = loop.kernel->data;
  const std::int64_t step = loop.step;
  std::int64_t index = loop.start + begin * step;
  for (std::int64_t i = begin; i < end; ++i, index += step) function(index, data);
}

// For kernels that report failures: the first one ends the loop.
void run_span_watched(std::int64_t begin, std::int64_t end, void* argument) {
  Loop& loop = *static_cast<Loop*>(argument);
  std::int64_t index = loop.start + begin * loop.step;
  for (std::int64_t i = begin; i < end && !loop.failed.load();
       ++i, index += loop.step) {
    loop.kernel->function(index, loop.kernel->data);
    const std::int32_t status = take_status(loop.kernel, index);
    if (status == 0 || loop.failed.exchange(true)) continue;
    loop.failed_index = index;
    loop.status = status;
    loop.job->cancel();
  }
}

struct RecordedLoop {
  Loop* loop;
  RangeJob::Body body;
  std::uint32_t label, run;
  std::int64_t from;
};

// A piece is one span, with its first item.
void run_recorded(std::int64_t begin, std::int64_t end, void* argument) {
  const RecordedLoop& recorded = *static_cast<const RecordedLoop*>(argument);
  recording::Lane* lane = recording::lane();
  if (lane != nullptr) {
    lane->begin({recorded.label, recorded.run, recorded.from + begin}, false);
  }
  recorded.body(begin, end, recorded.loop);
  if (lane != nullptr) lane->end(SpanState::kDone);
}

// One block; false with an exception (Ctrl-C; what was not started never runs).
bool run_block(Engine* e, Loop& loop, std::int64_t n, std::uint32_t most, bool help,
               RecordedLoop* recorded) {
  // The creator counts as a participant even if it only watches.
  const auto body = loop.kernel->status == nullptr ? run_span : run_span_watched;
  const std::uint32_t participants = help ? most : most + 1;
  if (recorded != nullptr) recorded->body = body;
  RangeJob* job =
      recorded == nullptr
          ? RangeJob::create(*e->pool, n, body, &loop, participants)
          : RangeJob::create(*e->pool, n, run_recorded, recorded, participants);
  loop.job = job;
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

Keywords loop_keywords("kernel_loop",
                       {"engine", "kernel", "start", "step", "n", "most",
                        "caller_helps", "run"},
                       7);

}  // namespace

PyObject* kernel_loop(PyObject*, PyObject* const* args, Py_ssize_t nargs,
                      PyObject* names) {
  PyObject *engine, *kernel;
  std::int64_t start, step, n, run = 0;
  int most;
  bool help;
  if (!loop_keywords.read({args, nargs, names}, instance(engine_type, &engine),
                          instance(kernel_type, &kernel), &start, &step, &n, &most,
                          &help, &run)) {
    return nullptr;
  }
  auto* e = reinterpret_cast<Engine*>(engine);
  if (!accepts_work(e)) return nullptr;
  Loop loop{kernel_of(kernel), start, step};
  RecordedLoop recorded{&loop, nullptr, 0, static_cast<std::uint32_t>(run), 0};
  const bool is_recorded = recording::on();
  if (is_recorded) recorded.label = recording::label_of(kernel);
  const std::int64_t last = start + (n - 1) * step;
  if (n > 0 && !check_status_size(loop.kernel, std::max(start, last) + 1)) {
    return nullptr;
  }
  for (std::int64_t from = 0; from < n; from += RangeJob::kMost) {
    const std::int64_t block = std::min<std::int64_t>(n - from, RangeJob::kMost);
    loop.start = start + from * step;
    recorded.from = from;
    if (!run_block(e, loop, block, static_cast<std::uint32_t>(most), help,
                   is_recorded ? &recorded : nullptr)) {
      return nullptr;
    }
    if (loop.failed.load()) {
      raise_kernel_failure(kernel, loop.failed_index, loop.status);
      return nullptr;
    }
  }
  Py_RETURN_NONE;
}

}  // namespace fastflow::py
