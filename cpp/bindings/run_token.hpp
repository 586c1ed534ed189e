// What the runs with Participants (participants.hpp) share on Python's side: the token
// in the pool, and how a thread waits for them.
//
// A token is the object's one Job; while it is on its way it holds a reference to the
// object.
#pragma once

#include "engine.hpp"
#include "participants.hpp"
#include "wait.hpp"

namespace fastflow::py {

// Puts the object's token into the pool.  False with an exception if the pool could not
// start a thread for it (it stays there, for the next one that comes).
inline bool send_token(Engine* engine, PyObject* object, Job* token) {
  Py_INCREF(object);
  const Need need = engine->pool->enqueue(token, Lane::kAttached);
  t_woke_worker = need != Need::kNothing;
  return satisfy(engine, need);
}

// After the visit.  The object may be gone then.
inline void end_of_token(PyObject* object, Worker& worker) {
  Py_DECREF(object);
  attachment(worker).end_of_job(worker);
}

// Whose member `token` is.
template <class Object>
Object* object_with(Job* token) {
  return reinterpret_cast<Object*>(reinterpret_cast<char*>(token) -
                                   offsetof(Object, token));
}

// The end of a run, announced by its object's address.
class RunEnd final : public Waitable {
 public:
  RunEnd(const void* run, Participants& participants)
      : run_(run), participants_(participants) {}
  const void* key() const override { return run_; }
  bool done() const override { return participants_.over(); }
  bool enlist(bool) override { return participants_.await_end(); }  // L5

 private:
  const void* run_;
  Participants& participants_;
};

// The end, or a call for the caller that is alone.
class CallOrEnd final : public Waitable {
 public:
  CallOrEnd(const void* run, Participants& participants)
      : run_(run), participants_(participants) {}
  const void* key() const override { return run_; }
  bool done() const override { return participants_.called() || participants_.over(); }
  bool enlist(bool) override { return participants_.await_call(); }  // L6

 private:
  const void* run_;
  Participants& participants_;
};

}  // namespace fastflow::py
