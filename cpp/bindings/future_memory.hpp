// The memory of futures, and how they go.
//
// Of all objects here only futures are made by the million and kept.  So where there is
// an interpreter lock they have blocks of two cache lines in a BlockPool: memory that
// is touched for the first time costs a tenth of what it costs with Python's allocator,
// and a task's futures lie one after the other.  The lock excludes those who take and
// give.
//
// The blocks look as those of PyObject_GC_New do: the collector's two words, all zero
// until the object is tracked, then the object.  Whether the interpreter at hand agrees
// is asked of it once (sys.getsizeof); if not, and on free-threaded builds, whose
// collector finds objects by where they lie, the memory is Python's.
//
// fastflow.Future is a class written in Python, so it would end by subtype_dealloc,
// which looks for what such a class may have added.  It adds nothing: the native part
// has the dictionary and the weak references.  So the class ends as its base does.
// Classes derived from it have Python's memory and end by subtype_dealloc.
#pragma once

#include "python.hpp"

namespace fastflow::py {

// Gives fastflow.Future this memory, before there is an instance.  False with an
// exception.
bool adopt_future_type(PyTypeObject* type);

// Memory for one more, with its head, untracked; nullptr with MemoryError.
PyObject* new_future_memory(PyTypeObject* type);

}  // namespace fastflow::py
