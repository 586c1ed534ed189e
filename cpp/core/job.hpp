// A thing to run: two words, embedded in whatever object carries the work.
//
// A Job owns nothing and is never copied.  Whoever pushes it keeps the enclosing object
// alive until `run` was called; `run` is called exactly once for each push and takes
// that ownership over.
#pragma once

#include "atomic.hpp"

namespace fastflow {

class Worker;

struct Job {
  // Link while the job sits in a ReadyQueue; free for its owner otherwise.
  plain<Job*> next{nullptr};
  // Called on a worker.  Must not throw.
  void (*run)(Job* self, Worker& worker) = nullptr;
};

}  // namespace fastflow
