#include "window.hpp"

#include "guarded.hpp"

namespace fastflow::py {

PyTypeObject* window_type = nullptr;

int WindowObject::traverse(visitproc visit, void* arg) const {
  Py_VISIT(line.channel());
  for (const Call& call : calls) {
    if (int stop = visit_all(visit, arg, call.target, call.message)) return stop;
  }
  return 0;
}

void WindowObject::clear() {
  const Line old = std::exchange(line, Line());
  drop_each(calls);
}

bool WindowObject::has_begun(std::size_t i) const {
  if (line.native()) return calls[i].ticket <= line.taken_up_to();
  return ready && i == 0;
}

namespace {

PyObject* get_channel(PyObject* self, void*) {
  PyObject* channel = window_of(self)->line.channel();
  return Py_NewRef(channel != nullptr ? channel : Py_None);
}

int set_channel(PyObject* self, PyObject* channel, void*) {
  if (channel == nullptr || window_of(self)->line.channel() != nullptr) {
    PyErr_SetString(PyExc_AttributeError, "a worker has one channel, once for all");
    return -1;
  }
  window_of(self)->line = Line(channel);
  return 0;
}

template <bool WindowObject::*flag>
PyObject* get_flag(PyObject* self, void*) {
  return PyBool_FromLong(window_of(self)->*flag);
}

template <bool WindowObject::*flag>
int set_flag_to(PyObject* self, PyObject* value, void*) {
  const int is_true = value == nullptr ? 0 : PyObject_IsTrue(value);
  if (is_true < 0) return -1;
  window_of(self)->*flag = is_true > 0;
  return 0;
}

PyObject* get_made(PyObject* self, void*) {
  return PyLong_FromUnsignedLongLong(window_of(self)->made);
}

PyObject* get_pending(PyObject* self, void*) {
  return PyLong_FromSize_t(window_of(self)->calls.size());
}

PyGetSetDef getset[] = {
    {"channel", guarded<get_channel>, guarded<set_channel>, "The program's end.",
     nullptr},
    {"ready", guarded<get_flag<&WindowObject::ready>>, nullptr,
     "Whether it takes calls.", nullptr},
    {"retiring", guarded<get_flag<&WindowObject::retiring>>, nullptr,
     "Whether it ends after what it was given.", nullptr},
    {"gone", guarded<get_flag<&WindowObject::gone>>,
     guarded<set_flag_to<&WindowObject::gone>>, "Whether its process has ended.",
     nullptr},
    {"made", guarded<get_made>, nullptr, "Calls that it has answered.", nullptr},
    {"pending", guarded<get_pending>, nullptr, "Calls that it has not answered.",
     nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_window_type(PyObject* module) {
  return add_type<WindowObject>(module, "fastflow._core.Window", &window_type,
                                {.getset = getset,
                                 .make = guarded<new_object<WindowObject>>,
                                 .flags = Py_TPFLAGS_BASETYPE});
}

}  // namespace fastflow::py
