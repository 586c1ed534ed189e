// Numbers for what recordings say of calls: the names of functions, and errors.
//
// A label is a number of the process, so that one write does for all recordings: of the
// function's code and its qualified name, which stay alive, and are as many as there
// are in the program's text; closures are not kept.  A thread finds those that it has
// asked for last without a lock; all others are behind one mutex, under which
// references are counted, but nothing is called.
#pragma once

#include "python.hpp"

#include <cstdint>

namespace fastflow::py::recording {

// The label of a callable.  REQUIRES: attached.  Keeps an exception that is set.
// `ours`: whether it is a function of this package, whose calls are plumbing.
std::uint32_t label_of(PyObject* callable, bool* ours = nullptr) noexcept;
// The same of one that label_of() has seen before.  Any thread state.
std::uint32_t known_label_of(PyObject* callable) noexcept;
// The number of an error that is set, or 0.  REQUIRES: attached.
std::uint32_t failure_of(PyObject* error) noexcept;

bool add_label_functions(PyObject* module);
// REQUIRES: no other thread is in this file, as after a fork that Python makes.
void reset_labels_after_fork();

}  // namespace fastflow::py::recording
