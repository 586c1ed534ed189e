// Segment: a piece of shared memory for one large buffer, as a Python object that has
// it as its buffer.
//
// The memory is mapped when the buffer is first asked for, and as long as the object
// lives, which views of its buffer keep.  write() needs no mapping: who only fills a
// segment for others has none.  The descriptor can be sent to other processes; the
// object owns it until close_fd().
//
// Descriptor and mapping are looked at and changed under ObjectLock, without Python
// code. Pages are taken outside of it, through a copy of the descriptor: two who do so
// at the same time do it twice, which is as good as once.
#pragma once

#include "python.hpp"

namespace fastflow::py {

// Segment where there is shared memory.
bool add_segment_type(PyObject* module);

}  // namespace fastflow::py
