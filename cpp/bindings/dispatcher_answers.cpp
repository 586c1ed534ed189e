// Answers come from workers, and end calls: see dispatcher.hpp.
#include <algorithm>
#include <cstring>

#include "dispatcher.hpp"
#include "future.hpp"

namespace fastflow::py {

namespace {

constexpr int kMostAtOnce = 512;  // messages of a worker

// --- taking in -----------------------------------------------------------------------

enum class Taken : std::uint8_t { kYes, kNothing, kError };

// What is for the first call of a window; false: there is none.
bool for_first(WindowObject* window, Answer& answer) {
  if (window->calls.empty()) {
    window->lied = true;
    return false;
  }
  answer.target = Ref::borrow(window->calls.front().target.get());
  return true;
}

void learn_from(DispatcherObject* self, PyObject* message) {
  double numbers[2] = {0, 0};  // calls, seconds
  if (PyBytes_GET_SIZE(message) != 1 + sizeof numbers) return;
  std::memcpy(numbers, PyBytes_AS_STRING(message) + 1, sizeof numbers);
  if (numbers[0] > 0) self->learn(numbers[1] / numbers[0]);
}

// Takes the next message in.  What is to be told goes to `spare`, which is then full.
Taken take_one(DispatcherObject* self, WindowObject* window, Answers& spare) {
  if (spare.empty()) spare.emplace_back();
  Answer& answer = spare.front();
  answer.message = window->line.receive();
  if (!answer.message) {
    return PyErr_Occurred() == nullptr ? Taken::kNothing : Taken::kError;
  }
  answer.kind = PyBytes_GET_SIZE(answer.message.get()) == 0
                    ? Kind::kReady
                    : static_cast<Kind>(PyBytes_AS_STRING(answer.message.get())[0]);
  answer.window = Ref::borrow(window);
  switch (answer.kind) {
    case Kind::kValue:
    case Kind::kFailed:
    case Kind::kShared:
      if (!for_first(window, answer)) return Taken::kYes;
      answer.sent = std::move(window->calls.front().message);
      answer.target = std::move(window->calls.front().target);
      window->calls.pop_front();
      ++window->made;
      break;
    case Kind::kGivenBack:
    case Kind::kStarted:
      if (!for_first(window, answer)) return Taken::kYes;
      break;
    case Kind::kTimes:
      learn_from(self, answer.message.get());
      return Taken::kYes;
    case Kind::kReady:
      window->ready = true;
      self->early_deaths = 0;
      return Taken::kYes;
    case Kind::kRetires:
      recall(self, window, window->calls.size());
      return stop_window(self, window) ? Taken::kYes : Taken::kError;
    case Kind::kLog:
      if (!window->calls.empty()) {
        answer.target = Ref::borrow(window->calls.front().target.get());
        break;
      }
      [[fallthrough]];
    default:
      answer.target = Ref::borrow(window);
  }
  self->settling.splice(self->settling.end(), spare);
  return Taken::kYes;
}

// Returns how many messages there were; -1: an exception is set.
int take_from(DispatcherObject* self, WindowObject* window, Answers& spare) {
  int count = 0;
  Taken taken = Taken::kYes;
  while (count < kMostAtOnce) {
    taken = take_one(self, window, spare);
    if (taken != Taken::kYes) break;
    ++count;
  }
  window->line.received();
  if (count > 0) {
    window->full = false;
    self->room = true;
  }
  if (taken != Taken::kError) return count;
  if (count == 0) return -1;
  PyErr_Clear();  // the next call meets it again
  return count;
}

}  // namespace

bool take_in(DispatcherObject* self) {
  Answers spare;
  for (std::size_t i = 0; i < self->windows.size(); ++i) {
    const Ref kept = Ref::borrow(self->windows[i].get());
    WindowObject* window = window_of(kept.get());
    const int count = take_from(self, window, spare);
    if (count < 0) return false;
    if (window->full && window->calls.empty()) {  // there may be room now
      window->full = false;
      self->room = true;
    }
    const bool ended = count == 0 && (window->gone || window->line.closed());
    if (!ended && !window->lied) continue;
    const auto at =
        std::find_if(self->windows.begin(), self->windows.end(),
                     [&](const Ref& each) { return each.get() == kept.get(); });
    if (at == self->windows.end()) continue;
    self->dead.emplace_back();
    self->dead.back() = std::move(*at);
    self->windows.erase(at);
    --i;
  }
  return true;
}

namespace {

// --- settling ------------------------------------------------------------------------

// One answer, which goes back unless it was told.
class Hand {
 public:
  Hand(DispatcherObject* of, Answers& from) : of_(of) {
    held_.splice(held_.end(), from, from.begin());
    ++of_->in_hand;
  }
  ~Hand() {
    --of_->in_hand;
    of_->settling.splice(of_->settling.begin(), held_);
  }
  Hand(const Hand&) = delete;
  Answer& answer() { return held_.front(); }
  // To be dropped outside of the stretch.
  Answers told() { return std::exchange(held_, {}); }
  void leave() { of_->left.splice(of_->left.end(), held_); }

 private:
  DispatcherObject* of_;
  Answers held_;
};

// A thread that is about to set futures.  At the end it wakes the watcher, who may wait
// for one of these, and the helper, if something is left to it.
class Settler {
 public:
  Settler(DispatcherObject* of, bool disturbed) : of_(of), disturbed_(disturbed) {
    of_->settlers.push_back(PyThread_get_thread_ident());
  }
  ~Settler() {
    of_->settlers.erase(std::find(of_->settlers.begin(), of_->settlers.end(),
                                  PyThread_get_thread_ident()));
    if (count > 0) of_->ring_watcher();
    if (disturbed_ && !of_->left.empty()) of_->ring_helper();
  }
  Settler(const Settler&) = delete;

  std::size_t count = 0;

 private:
  DispatcherObject* of_;
  bool disturbed_;
};

enum class Told : std::uint8_t {
  kYes,
  kNo,    // an exception is set
  kLeft,  // it is for an undisturbed thread
};

bool is_future(PyObject* object) {
  return PyObject_TypeCheck(object, future_base_type) != 0;
}

// Whether a future's class has a `set_result` of its own.
bool hears(PyObject* future) {
  static PyObject* const name = PyUnicode_InternFromString("set_result");
  Ref its =
      Ref::steal(PyObject_GetAttr(reinterpret_cast<PyObject*>(Py_TYPE(future)), name));
  // Not that of its native base: see own_methods (object.hpp).
  Ref plain = Ref::steal(
      PyObject_GetAttr(reinterpret_cast<PyObject*>(imports.future_type), name));
  PyErr_Clear();
  return its.get() != plain.get();
}

bool needs_quiet(const Answer& answer) {
  if (answer.kind != Kind::kValue) return true;
  if (!is_future(answer.target.get())) return false;
  return hears(answer.target.get()) ||
         (static_cast<FutureObject*>(answer.target.get())->state.load() &
          TaskState::kShared) != 0;
}

bool is_exception() { return PyErr_ExceptionMatches(PyExc_Exception) != 0; }

Told tell_value(Answer& answer, PyObject* value) {
  PyObject* target = answer.target.get();
  Ref told;
  if (is_future(target) && static_cast<FutureObject*>(target)->state.done()) {
    return Told::kYes;
  }
  if (is_future(target) && !hears(target)) {
    told = Ref::steal(set_outcome(target, value, false));
  } else {
    told = Ref::steal(PyObject_CallMethod(target, "set_result", "(O)", value));
  }
  if (!told && PyErr_ExceptionMatches(imports.invalid_state) != 0) {
    PyErr_Clear();  // somebody else has set it
    return Told::kYes;
  }
  return told ? Told::kYes : Told::kNo;
}

// The main thread: an exception may be a signal handler's.
Told tell_disturbed(DispatcherObject* self, Answer& answer) {
  Ref value = Ref::steal(PyObject_CallOneArg(self->loads.get(), answer.message.get()));
  if (value) return tell_value(answer, value.get());
  const bool ends_it = !is_exception();
  Ref error = Ref::steal(take_exception());
  value = Ref::steal(PyObject_CallOneArg(self->loads.get(), answer.message.get()));
  Told told = Told::kLeft;
  if (value) {
    told = tell_value(answer, value.get());
    PyErr_Clear();
  } else {
    // What comes again is the value's own, be it an exit.
    Ref again = Ref::steal(take_exception());
    if (!ends_it || Py_TYPE(again.get()) == Py_TYPE(error.get())) return told;
  }
  raise_exception(error.get());
  return told;
}

// Any other thread.
Told tell(DispatcherObject* self, Answer& answer) {
  if (answer.kind == Kind::kValue) {
    Ref value =
        Ref::steal(PyObject_CallOneArg(self->loads.get(), answer.message.get()));
    if (value) return tell_value(answer, value.get());
    PyErr_Clear();  // comes again below
  }
  Ref told = Ref::steal(PyObject_CallMethod(self, "told", "OOO", answer.target.get(),
                                            answer.message.get(), answer.window.get()));
  return told ? Told::kYes : Told::kNo;
}

// A chunk gives back its last items: they are a chunk of their own.
bool divide(DispatcherObject* self, Stretch& stretch, Hand& hand, Answers& over) {
  PyObject* chunk = hand.answer().target.get();
  stretch.unlock();
  Ref divided = Ref::steal(
      PyObject_CallMethod(chunk, "give_back", "(O)", hand.answer().message.get()));
  stretch.lock();
  if (!divided) return false;
  if (divided.get() != Py_None) {
    PyObject *target, *message, *stop;
    long long number = 0;
    if (!PyArg_ParseTuple(divided.get(), "OLOO:give_back", &target, &number, &message,
                          &stop)) {
      return false;
    }
    self->order.emplace_front();
    if (PyObject_SetAttrString(chunk, "stop", stop) < 0) {  // a slot: no Python code
      self->order.pop_front();
      return false;
    }
    self->order.front() =
        Call{Ref::borrow(target), Ref::borrow(message), number, 0, false, 0};
  }
  over = hand.told();
  return true;
}

bool settle_one(DispatcherObject* self, Stretch& stretch, Answers& from,
                bool disturbed) {
  Answers over;  // dropped outside of the stretch
  bool good = true;
  {
    Hand hand(self, from);
    if (disturbed && needs_quiet(hand.answer())) {
      hand.leave();
      return true;
    }
    if (hand.answer().kind == Kind::kGivenBack) {
      good = divide(self, stretch, hand, over);
    } else {
      stretch.unlock();
      const Told told =
          disturbed ? tell_disturbed(self, hand.answer()) : tell(self, hand.answer());
      stretch.lock();
      good = PyErr_Occurred() == nullptr;
      if (told == Told::kYes) over = hand.told();
      if (told == Told::kLeft) hand.leave();
    }
  }
  Ref error = Ref::steal(good ? nullptr : take_exception());
  stretch.unlock();
  over.clear();
  stretch.lock();
  if (error) raise_exception(error.get());
  return good;
}

void ring_bells(DispatcherObject* self, Stretch& stretch) {
  if (self->bells.empty()) return;
  const std::vector<Ref> rung = std::exchange(self->bells, {});
  Ref error = Ref::steal(PyErr_Occurred() != nullptr ? take_exception() : nullptr);
  stretch.unlock();
  for (const Ref& bell : rung) {
    if (Ref done = Ref::steal(set_outcome(bell.get(), Py_None, false)); !done) {
      PyErr_Clear();
    }
  }
  stretch.lock();
  if (error) raise_exception(error.get());
}

}  // namespace

bool settle_all(DispatcherObject* self, Stretch& stretch, std::size_t* count) {
  const bool disturbed = self->is_disturbed();
  Settler settler(self, disturbed);
  bool good = true;
  while (good) {
    const bool from_left = !disturbed && !self->left.empty();
    Answers& from = from_left ? self->left : self->settling;
    if (from.empty()) break;
    good = settle_one(self, stretch, from, disturbed);
    ++settler.count;
  }
  if (settler.count > 0) ring_bells(self, stretch);
  *count = settler.count;
  return good;
}

}  // namespace fastflow::py
