// StreamObject: one imap(), a pipeline over inputs that may never end, in bounded
// memory.
//
// The consumer's thread alone pulls from the input iterators (they need not be
// thread-safe) and keeps up to `capacity` items under way.  Workers take queued items;
// the consumer, rather than wait for an item that nobody has started, runs it itself if
// it may.  So a stream of no-ops costs no thread crossing, and slow items overlap.
//
// Threads and locks: see StreamBody.  No Python code runs while an ObjectLock is held
// on a free-threaded build.
#pragma once

#include "python.hpp"
#include "scope.hpp"

namespace fastflow::py {

bool add_stream_type(PyObject* module);
bool is_stream(PyObject* object);
ScopeObject* stream_scope(PyObject* stream);
// Whether the consumer is gone.
bool stream_cancelled(PyObject* stream);

}  // namespace fastflow::py
