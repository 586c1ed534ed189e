// How the participants of a MapObject work, and how others wait for them.
#pragma once

#include "map.hpp"

namespace fastflow::py {

// The run function of the token.
void run_map_token(Job* token, Worker& worker);

// Sends the token if items are left, there is room and it is not on its way; false with
// an exception if the pool could not start a thread for it.
bool invite(MapObject* map);

// Items that nobody has claimed yet never run.
void cancel_map(MapObject* map);

// Works or waits until all items are done.  The list of results, or None.
PyObject* run_to_end(MapObject* map, bool help, double timeout);

// Drops the results that nobody took.
void drop_results(MapObject* map);

// Waits for one item and hands its result out; the slot is empty afterwards.
PyObject* take_item(MapObject* map, Py_ssize_t index, double timeout);

}  // namespace fastflow::py
