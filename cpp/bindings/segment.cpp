#include "segment.hpp"

#if defined(__linux__)

#include <memory>
#include <utility>

#include "gil.hpp"
#include "guarded.hpp"
#include "object.hpp"
#include "shared_memory.hpp"

namespace fastflow::py {

namespace {

PyTypeObject* segment_type = nullptr;

struct SegmentObject : PyObject {
  SegmentObject(Descriptor of, std::size_t bytes, Access how) noexcept
      : memory(std::move(of)), size(bytes), access(how) {}

  Descriptor memory;
  Mapping mapping;  // empty until it is needed
  std::size_t size;
  Access access;
  bool reserved = false;  // or not ours to reserve
};

SegmentObject* segment_of(PyObject* object) {
  return static_cast<SegmentObject*>(object);
}

// REQUIRES: ObjectLock.
void map(SegmentObject* segment) {
  if (segment->mapping.data() != nullptr) return;
  segment->mapping = map_memory(segment->memory.get(), segment->size, segment->access);
}

bool check_size(Py_ssize_t size) {
  if (size > 0) return true;
  PyErr_SetString(PyExc_ValueError, "a segment has at least one byte");
  return false;
}

PyObject* segment_new(PyTypeObject* type, PyObject* args, PyObject* names) {
  static const char* keywords[] = {"size", nullptr};
  Py_ssize_t size = 0;
  if (!PyArg_ParseTupleAndKeywords(args, names, "n:Segment",
                                   const_cast<char**>(keywords), &size) ||
      !check_size(size)) {
    return nullptr;
  }
  const auto bytes = static_cast<std::size_t>(size);
  return make<SegmentObject>(type, create_memory("fastflow-segment", bytes), bytes,
                             Access::kReadWrite)
      .release();
}

PyObject* segment_open(PyObject* type, PyObject* args, PyObject* names) {
  static const char* keywords[] = {"fd", "size", "readonly", nullptr};
  int fd = -1, readonly = 1;
  Py_ssize_t size = 0;
  if (!PyArg_ParseTupleAndKeywords(args, names, "in|p:open",
                                   const_cast<char**>(keywords), &fd, &size,
                                   &readonly)) {
    return nullptr;
  }
  Descriptor memory(fd);
  if (!check_size(size)) return nullptr;
  const std::size_t there = memory_size(fd);
  if (there < static_cast<std::size_t>(size)) {
    PyErr_Format(PyExc_ValueError, "the segment has %zu bytes, not %zd", there, size);
    return nullptr;
  }
  Ref object = make<SegmentObject>(reinterpret_cast<PyTypeObject*>(type),
                                   std::move(memory), static_cast<std::size_t>(size),
                                   readonly != 0 ? Access::kRead : Access::kReadWrite);
  if (!object) return nullptr;
  map(segment_of(object.get()));
  segment_of(object.get())->reserved = true;
  return object.release();
}

// Takes all pages of a new segment, once: that is quicker than to meet them one by one.
void reserve(PyObject* object) {
  SegmentObject* segment = segment_of(object);
  Descriptor memory;
  {
    const ObjectLock lock(object);
    map(segment);
    if (segment->reserved) return;
    memory = segment->memory.duplicate();  // close_fd() may come meanwhile
  }
  call_detached([&] { reserve_memory(memory.get(), segment->size); });
  const ObjectLock lock(object);
  segment->reserved = true;
}

int segment_getbuffer(PyObject* object, Py_buffer* view, int flags) {
  view->obj = nullptr;  // also if this is left by an exception
  reserve(object);
  const SegmentObject* segment = segment_of(object);
  return PyBuffer_FillInfo(view, object, segment->mapping.data(),
                           static_cast<Py_ssize_t>(segment->size),
                           segment->access == Access::kRead ? 1 : 0, flags);
}

// What is copied with the interpreter lock held.
constexpr Py_ssize_t kShort = 1 << 15;

// write(data, offset=0)
PyObject* segment_write(PyObject* object, PyObject* args, PyObject* names) {
  static const char* keywords[] = {"data", "offset", nullptr};
  Py_buffer data{};
  Py_ssize_t offset = 0;
  if (!PyArg_ParseTupleAndKeywords(args, names, "y*|n:write",
                                   const_cast<char**>(keywords), &data, &offset)) {
    return nullptr;
  }
  const auto release_buffer = [](Py_buffer* buffer) {
    if (!is_detached()) PyBuffer_Release(buffer);
  };
  const std::unique_ptr<Py_buffer, decltype(release_buffer)> release(&data,
                                                                     release_buffer);
  const SegmentObject* segment = segment_of(object);
  const auto size = static_cast<Py_ssize_t>(segment->size);
  if (segment->access == Access::kRead) {
    PyErr_SetString(PyExc_TypeError, "the segment was opened for reading only");
    return nullptr;
  }
  if (offset < 0 || offset > size || data.len > size - offset) {
    PyErr_Format(PyExc_ValueError,
                 "%zd bytes at %zd do not fit into a segment of %zd bytes", data.len,
                 offset, size);
    return nullptr;
  }
  const auto* bytes = static_cast<const std::byte*>(data.buf);
  const auto n = static_cast<std::size_t>(data.len);
  Descriptor memory;
  {
    const ObjectLock lock(object);
    if (data.len <= kShort) {
      write_memory(segment->memory.get(), static_cast<std::size_t>(offset), bytes, n);
      Py_RETURN_NONE;
    }
    memory = segment->memory.duplicate();  // close_fd() may come meanwhile
  }
  call_detached(
      [&] { write_memory(memory.get(), static_cast<std::size_t>(offset), bytes, n); });
  Py_RETURN_NONE;
}

PyObject* segment_close_fd(PyObject* object, PyObject*) {
  const ObjectLock lock(object);
  SegmentObject* segment = segment_of(object);
  map(segment);  // it stays one
  segment->reserved = true;
  segment->memory.close();
  Py_RETURN_NONE;
}

PyObject* get_fd(PyObject* object, void*) {
  const ObjectLock lock(object);
  return PyLong_FromLong(segment_of(object)->memory.get());
}
PyObject* get_size(PyObject* object, void*) {
  return PyLong_FromSize_t(segment_of(object)->size);
}
PyObject* get_readonly(PyObject* object, void*) {
  return PyBool_FromLong(segment_of(object)->access == Access::kRead ? 1 : 0);
}

PyMethodDef methods[] = {
    {"open", method<segment_open>(), METH_VARARGS | METH_KEYWORDS | METH_CLASS,
     "open(fd, size, readonly=True): maps the memory of another segment; takes over "
     "fd."},
    {"write", method<segment_write>(), METH_VARARGS | METH_KEYWORDS,
     "write(data, offset=0): copies into it, without mapping it: half the cost."},
    {"close_fd", method<segment_close_fd>(), METH_NOARGS,
     "Closes the descriptor; the memory stays as long as it is mapped."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef getset[] = {
    {"fd", guarded<get_fd>, nullptr, "The descriptor, or -1.", nullptr},
    {"size", guarded<get_size>, nullptr, "Bytes.", nullptr},
    {"readonly", guarded<get_readonly>, nullptr, "Whether writing raises.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};

}  // namespace

bool add_segment_type(PyObject* module) {
  return add_type<SegmentObject>(
      module, "fastflow._core.Segment", &segment_type,
      {.methods = methods,
       .getset = getset,
       .make = guarded<segment_new>,
       .others = {{Py_bf_getbuffer, slot<segment_getbuffer>()}}});
}

}  // namespace fastflow::py

#else

namespace fastflow::py {
bool add_segment_type(PyObject*) { return true; }
}  // namespace fastflow::py

#endif
