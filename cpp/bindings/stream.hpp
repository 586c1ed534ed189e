// StreamObject: one imap(), a pipeline over inputs that may never end, in bounded
// memory.
//
// The consumer's thread alone pulls from the input iterators (they need not be
// thread-safe) and keeps up to `capacity` items under way.  Workers take queued items;
// the consumer, rather than wait for an item that nobody has started, runs it itself if
// it may.  So a stream of no-ops costs no thread crossing, and slow items overlap.
//
// Threads and locks: see StreamBody.  Nothing runs Python code under the ObjectLock.
// The consumer's steps do, between one look and the next (an input that is read, an
// item that is run, an exception that is raised), and so may close the stream or
// iterate over it.  Against the latter there is `consuming`.  `closed` is looked at
// again after each such step, and whoever leaves looks once more: what was put in
// meanwhile is taken back then, and nobody begins it, as workers ask for `closed`
// before each item.  A worker's item is its own from the claim on until its state says
// that it has ended; what the item was given goes after that, when nobody looks at it
// any more.
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
