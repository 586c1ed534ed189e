#include "guarded.hpp"

#include <exception>
#include <new>
#include <stdexcept>
#include <system_error>

namespace fastflow::py {

void translate_exception() noexcept {
  // A Python exception that was set before it is less than what happened since.
  try {
    throw;
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::system_error& error) {
    Ref arguments =
        Ref::steal(Py_BuildValue("(is)", error.code().value(), error.what()));
    if (!arguments) return;
    // Made at once, so that it is of the class that its number stands for wherever
    // somebody asks: a BrokenPipeError, say.
    Ref made = Ref::steal(PyObject_CallObject(PyExc_OSError, arguments.get()));
    if (made) {
      PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(made.get())), made.get());
    }
  } catch (const std::invalid_argument& error) {
    PyErr_SetString(PyExc_ValueError, error.what());
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  } catch (...) {
    PyErr_SetString(PyExc_RuntimeError, "fastflow: an unknown C++ exception");
  }
}

}  // namespace fastflow::py
