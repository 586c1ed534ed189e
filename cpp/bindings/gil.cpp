#include "gil.hpp"

#include "parking_lot.hpp"

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
  if (to_announce_.empty() || to_announce_.back() != key) to_announce_.push_back(key);
}

void Attachment::announce_now() {
  for (const void* key : to_announce_) parking_lot::announce(key);
  to_announce_.clear();
}

void Attachment::drop_now() {
  // Dropping may run code that lets this thread's worker add more.
  while (!to_drop_.empty()) {
    std::vector<PyObject*> drops;
    drops.swap(to_drop_);
    for (PyObject* object : drops) Py_DECREF(object);
    if (to_drop_.empty()) {
      drops.clear();
      to_drop_.swap(drops);  // keep the capacity
      return;
    }
  }
}

void Attachment::enter_fresh_context() {
  if (context_) PyContext_Exit(context_.get());
  context_ = Ref::steal(PyContext_New());
  if (!context_ || PyContext_Enter(context_.get()) < 0) PyErr_Clear();
}

void Attachment::leave_context() {
  if (context_ && PyContext_Exit(context_.get()) < 0) PyErr_Clear();
  context_ = Ref();
}

void Attachment::reset_context() {
  const Py_ssize_t variables = context_ ? PyObject_Size(context_.get()) : -1;
  if (variables < 0) PyErr_Clear();
  if (variables != 0) enter_fresh_context();
}

Worker* current_worker() {
  Worker* worker = Worker::current();
  return worker != nullptr && worker->binding != nullptr ? worker : nullptr;
}

Detached::Detached() : state_(PyEval_SaveThread()) {
  g_waiting.fetch_add(1, std::memory_order_relaxed);  // a hint
}

Detached::~Detached() noexcept(false) {
  g_waiting.fetch_sub(1, std::memory_order_relaxed);  // a hint
  PyEval_RestoreThread(state_);
}

}  // namespace fastflow::py
