#include "gil.hpp"

#include "future.hpp"
#include "parking_lot.hpp"
#include "task_context.hpp"

namespace fastflow::py {

namespace {

// Threads that have given the interpreter lock up in a wait of ours: while there are
// any, the lock is likely to be free.  Only a hint.
std::atomic<int> g_waiting{0};

// How long a worker watches for such a thread before it queues for the lock.
constexpr std::chrono::microseconds kWatch{20};

void watch_for_free_lock() {
#ifndef Py_GIL_DISABLED
  // relaxed: a hint.
  if (g_waiting.load(std::memory_order_relaxed) > 0) return;
  const auto end = std::chrono::steady_clock::now() + kWatch;
  do {
    for (int i = 0; i < 8; ++i) {
      if (g_waiting.load(std::memory_order_relaxed) > 0) return;
      cpu_pause();
    }
  } while (std::chrono::steady_clock::now() < end);
#endif
}

}  // namespace

void Attachment::attach() {
  watch_for_free_lock();
  PyEval_RestoreThread(state_);
  drop_now();
}

void Attachment::detach() {
  drop_now();
  PyEval_SaveThread();
  announce_now();
}

bool yield_point() {
  Ref done = Ref::steal(PyObject_CallNoArgs(imports.empty_function));
  return static_cast<bool>(done);
}

void Attachment::may_block(Worker& worker) {
  if (may_block_) return;
  may_block_ = true;
  announce_now();
  worker.pool().blocked(worker);
}

void Attachment::unblock(Worker& worker) {
  may_block_ = false;
  worker.pool().unblocked(worker);
}

void Attachment::announce_later(const void* key) {
  if (announcements_ > 0 && to_announce_[announcements_ - 1] == key) return;
  if (announcements_ == to_announce_.size()) announce_now();
  to_announce_[announcements_++] = key;
}

void Attachment::announce_now() {
  for (std::size_t i = 0; i < announcements_; ++i) {
    parking_lot::announce(to_announce_[i]);
  }
  announcements_ = 0;
}

void Attachment::drop_now() {
  // Dropping may run code that lets this thread's worker add more.
  while (Job* job = to_drop_) {
    to_drop_ = job->next;
    --drops_;
    Py_DECREF(object_of(future_of(job)));
  }
}

void Attachment::enter_fresh_context() {
  if (context_) PyContext_Exit(context_.get());
  context_ = Ref::steal(PyContext_New());
  if (context_ && PyContext_Enter(context_.get()) == 0) return;
  PyErr_Clear();  // no memory: the next task tries again
  context_ = Ref();
}

void Attachment::leave_context() {
  if (context_ && PyContext_Exit(context_.get()) < 0) PyErr_Clear();
  context_ = Ref();
}

void Attachment::reset_context() {
  if (!context_ || variables_in(context_.get()) != 0) enter_fresh_context();
}

Worker* current_worker() {
  Worker* worker = Worker::current();
  return worker != nullptr && worker->binding != nullptr ? worker : nullptr;
}

namespace {
thread_local bool t_detached = false;
}  // namespace

bool is_detached() noexcept { return t_detached; }
void set_detached(bool detached) noexcept { t_detached = detached; }

Detached::Detached() : state_(PyEval_SaveThread()) {
  g_waiting.fetch_add(1, std::memory_order_relaxed);  // a hint
}

Detached::~Detached() noexcept(false) {
  g_waiting.fetch_sub(1, std::memory_order_relaxed);  // a hint
  PyEval_RestoreThread(state_);
}

}  // namespace fastflow::py
