// What a stream's workers and its consumer do.
#pragma once

#include "stream_state.hpp"

namespace fastflow::py {

// The run function of the token.
void run_stream_token(Job* token, Worker& worker);

// The next result; nullptr at the end, or with an exception.
PyObject* stream_next(StreamObject* stream);
// The same, recorded (recording.hpp).
PyObject* recorded_stream_next(StreamObject* stream);

// Reads ahead and lets the pool begin.  False with an exception.
bool stream_begin(StreamObject* stream);

// Nobody iterates any more.
void close_stream(StreamObject* stream);

}  // namespace fastflow::py
