// Scope: the cancellation group of a TaskGroup.
//
// Cancelling it is one store, whatever the number of tasks: queued ones are found
// cancelled when somebody looks at them or when a worker comes to them.
#pragma once

#include "python.hpp"

namespace fastflow::py {

struct ScopeObject {
  PyObject_HEAD
  std::atomic<bool> cancelled;
  std::atomic<std::int64_t> open;      // tasks that have not ended
  std::atomic<std::uint32_t> waiters;  // bit 0: somebody waits; bit 1: urgently
  PyObject* failures;                  // list of exceptions, guarded by ObjectLock
};

extern PyTypeObject* scope_type;
bool add_scope_type(PyObject* module);

inline ScopeObject* scope_of(PyObject* object) {
  return reinterpret_cast<ScopeObject*>(object);
}

void scope_enter(ScopeObject* scope);
// A task of the group ended; `failure` (borrowed) or nullptr.
void scope_leave(ScopeObject* scope, PyObject* failure);

}  // namespace fastflow::py
