#include "guarded.hpp"

#include <exception>
#include <new>

namespace fastflow::py {

void translate_exception() noexcept {
  // A Python exception that was set before it is less than what happened since.
  try {
    throw;
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "fastflow: an unknown C++ exception");
  }
}

}  // namespace fastflow::py
