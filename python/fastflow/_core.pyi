import contextvars
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, final

from typing_extensions import Buffer

from fastflow.pool.future import Future

_P = ParamSpec("_P")
_T = TypeVar("_T")

NOOP_ADDRESS: int
SPIN_ADDRESS: int

@final
class Channel:
    """One end of the rings between a process and its worker; where there is memfd.

    Any thread may call. The socket is borrowed: it stays open until `abandon`.
    """

    @classmethod
    def create(cls, socket_fd: int, capacity: int) -> Channel:
        """The end of the process that has the worker; bytes in each direction.

        Raises OSError (no memory, no descriptors).
        """
    @classmethod
    def attach(cls, socket_fd: int, memory_fd: int) -> Channel:
        """The worker's end, once for each channel; takes `memory_fd` over.

        Raises ValueError if it is not the memory of a channel that is free.
        """
    @property
    def memory_fd(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    @property
    def max_payload(self) -> int: ...
    @property
    def closed_by_peer(self) -> bool:
        """Whether the other end is known to be gone, as of the last wait."""
    def release_fd(self) -> None: ...
    def abandon(self) -> None: ...
    def send(self, payload: Buffer, /) -> int | None:
        """Ticket of the message, or None if there is no room now.

        Raises ValueError for more than `max_payload` bytes, BrokenPipeError if the peer
        is known to be gone, ChannelError if the memory was damaged.
        """
    def send_many(self, payloads: Iterable[Buffer], /) -> list[int]:
        """Tickets of the first ones, as many as there was room for; rings once."""
    def receive(self) -> bytes | None:
        """The oldest message, claimed; None if there is none. Raises ChannelError."""
    def receive_many(self, limit: int, /) -> list[bytes]: ...
    def recall(self, ticket: int, /) -> bool:
        """Take a message back; False if it was claimed, recalled or never sent."""
    def unclaimed(self) -> int: ...
    def taken_up_to(self) -> int: ...
    def prepare_wait(self, for_room: bool = False) -> bool:
        """True: sleep on the socket, call `finish_wait`, then look. False: don't sleep.

        `for_room`: also if there is room for what `send` last refused. Raises
        RuntimeError if another thread sleeps on the channel.
        """
    def finish_wait(self) -> None: ...
    def wait(self, timeout: float | None = None) -> bool:
        """Whether there is something to receive; False after the timeout.

        Raises EOFError when the peer is gone and nothing is left.
        """
    def wait_for_room(self, timeout: float | None = None) -> bool:
        """Whether there is room for what `send` last refused; False after the timeout.

        Raises EOFError when the peer is gone. What there is to receive doesn't matter.
        """
    def send_descriptor(self, fd: int, /) -> None: ...
    def take_descriptor(self, timeout: float | None = None) -> int:
        """The next descriptor that was sent, now the caller's.

        Raises TimeoutError, EOFError, OSError (EMFILE: it was lost).
        """

class ChannelError(OSError): ...

@final
class Engine:
    def __init__(
        self,
        *,
        limit: int,
        spawner: Callable[[Engine], object],
        activity: Callable[[bool], object] | None = None,
        caller_may_run: bool = True,
        max_pending: int = 0,
        on_full: int = 0,
        propagate_context: bool = True,
    ) -> None: ...
    @property
    def active(self) -> int:
        """Workers that run something, or are on their way to it."""
    @property
    def broken(self) -> bool: ...
    @property
    def caller_may_run(self) -> bool: ...
    @property
    def forked(self) -> bool: ...
    @property
    def limit(self) -> int: ...
    @property
    def shut_down(self) -> bool: ...
    @property
    def spawner(self) -> Any: ...
    def keep_reservation(self) -> None: ...
    def mark_forked(self) -> None: ...
    def report_unobserved(self) -> None: ...
    def run_worker(
        self,
        *,
        ticket: list[None],
        begin: Callable[[], object] | None,
        end: Callable[[], object],
    ) -> None: ...
    def set_broken(self) -> None: ...
    def stats(self) -> tuple[int, int, int, int, int, int, int, int]: ...
    def stop(self, cancel_futures: bool, /) -> None: ...
    def wait_stopped(self, seconds: float, /) -> bool: ...

class ExecutorBase:
    @property
    def _engine(self) -> Engine: ...
    def _open(self, engine: Engine, /) -> bool: ...
    def submit(
        self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> Future[_T]: ...

class FutureBase(Generic[_T]):
    @property
    def number(self) -> int: ...
    def add_done_callback(self, fn: Callable[[Any], object], /) -> None: ...
    def _forget_callback(self, fn: Callable[[Any], object], /) -> None: ...
    def cancel(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def done(self) -> bool: ...
    def exception(self, timeout: float | None = None) -> BaseException | None: ...
    def result(self, timeout: float | None = None) -> _T: ...
    def running(self) -> bool: ...
    def set_exception(self, exception: BaseException | None, /) -> None: ...
    def set_result(self, result: _T, /) -> None: ...
    def set_running_or_notify_cancel(self) -> bool: ...

@final
class Kernel:
    def __init__(
        self,
        *,
        address: int,
        data: int,
        keep: Any,
        name: str,
        status: int = 0,
        status_count: int = 0,
    ) -> None: ...
    def __call__(self, index: int, /) -> None: ...
    @property
    def __name__(self) -> str: ...
    @property
    def address(self) -> int: ...
    @property
    def data(self) -> int: ...

@final
class Node:
    @property
    def name(self) -> str | None: ...
    @property
    def index(self) -> int: ...
    @property
    def graph_serial(self) -> int: ...

class Graph:
    def __init__(self) -> None: ...
    def add(
        self,
        fn: Callable[..., Any],
        /,
        *args: Any,
        name: str | None = None,
        after: Node | Iterable[Node] = (),
        **kwargs: Any,
    ) -> Node: ...
    def connect(self, before: Node, after: Node, /) -> None: ...
    def set_edges(self, *, n: int, src: Any, dst: Any) -> None: ...
    def node(self, index: int, /) -> Node: ...
    def label(self, index: int, /) -> str: ...
    def successors(self, index: int, /) -> tuple[int, ...]: ...
    def mark_behind(self, states: bytearray, from_: int, /) -> None: ...
    def __len__(self) -> int: ...
    @property
    def n_nodes(self) -> int: ...
    @property
    def n_edges(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def serial(self) -> int: ...
    @property
    def is_numbered(self) -> bool: ...

@final
class CallRun:
    def __init__(
        self,
        *,
        engine: Engine,
        graph: Graph,
        fn: Callable[[int], Any] | None,
        most: int,
        stop_on_error: bool,
        keep: int,
        timings: tuple[Any, Any, Any] | None,
        run: int = 0,
    ) -> None: ...
    def run(self, caller: int, /) -> None: ...
    def cancel(self) -> None: ...
    def settle(self, node: int, ok: bool, /) -> None: ...
    def post(self, unit: int, /) -> None: ...
    def lose(self, number: int, /) -> None: ...
    def finish(self) -> None: ...
    def result(self, index: int, /) -> Any: ...
    def results(self, missing: Any, /) -> list[Any]: ...
    def states(self) -> bytes: ...
    def failures(self) -> list[tuple[int, BaseException]]: ...
    @property
    def done(self) -> int: ...
    @property
    def finished(self) -> bool: ...
    @property
    def stopped(self) -> bool: ...

DEFERRED: object
FAILED: object
LOST: object

@final
class KernelRun:
    def __init__(
        self,
        *,
        engine: Engine,
        graph: Graph,
        kernel: Kernel,
        most: int,
        stop_on_error: bool,
        timings: tuple[Any, Any, Any] | None,
        run: int = 0,
    ) -> None: ...
    def run(self, help_: bool, /) -> None: ...
    def cancel(self) -> None: ...
    def states(self) -> bytes: ...
    def failures(self) -> list[tuple[int, int]]: ...
    @property
    def kernel_name(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def stopped(self) -> bool: ...

@final
class Map:
    def __init__(
        self,
        *,
        engine: Engine,
        fn: Callable[..., Any],
        columns: tuple[list[Any] | tuple[Any, ...] | range, ...],
        star: bool,
        keep: bool,
        return_exceptions: bool,
        stop_on_error: bool,
        chunk: int,
        most: int,
        run: int = 0,
    ) -> None: ...
    @property
    def done(self) -> int: ...
    @property
    def n(self) -> int: ...
    def cancel(self) -> None: ...
    def run(self, help_: bool, timeout: float | None, /) -> list[Any] | None: ...
    def start(self) -> None: ...
    def take(self, index: int, timeout: float | None, /) -> Any: ...

class GroupBlock:
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

class Window:
    """The calls that one worker was sent and has not answered, and what is known of it.

    The class for workers derives from it.
    """

    channel: Any
    """The program's end; set once."""
    gone: bool
    """Whether its process has ended."""
    @property
    def ready(self) -> bool:
        """Whether it takes calls."""
    @property
    def retiring(self) -> bool:
        """Whether it ends after what it was given."""
    @property
    def made(self) -> int:
        """Calls that it has answered."""
    @property
    def pending(self) -> int:
        """Calls that it has not answered."""

class Dispatcher:
    """Who has which call of a process executor; `processes.desk.Desk` derives from it.

    Any thread may call. A signal handler that raises leaves it in order.
    """

    refusal: Callable[[], Exception] | None
    """Why no more calls are taken."""
    burst: int
    """Calls that came since somebody waited."""
    early_deaths: int
    """Weighed deaths since a worker was ready."""
    look_closer: bool
    """Whether a worker has idled for some time while others had calls."""
    asleep: bool
    """Whether the watcher sleeps, or is about to."""
    killed: bool
    """Whether there will be no more workers."""
    def __init__(
        self,
        *,
        loads: Callable[[bytes], Any],
        dumps: Callable[[Any], bytes],
        definitions: dict[int, bytes],
        graveyard: deque[int],
        stop: bytes,
        max_workers: int,
        max_tasks: int,
        retry: bool,
        watcher_bell: int,
        helper_bell: int,
        main_thread: int,
        piped: bool,
    ) -> None: ...
    def add(self, future: Any, number: int, message: Any, /) -> int:
        """What is due: 1: `take`, 2: to start a worker. Raises what `refusal` says."""
    def add_map(self, run: Any, /) -> int: ...
    def take(self) -> int:
        """Take in answers, give what waits, end calls; how many answers there were."""
    def give(self) -> None:
        """Give what waits to those that have room."""
    def cancel_call(self, future: Any, /) -> bool: ...
    def is_running(self, future: Any, /) -> bool: ...
    def worker_of(self, future: Any, /) -> Any:
        """The worker that makes a call now or next, or None."""
    def take_waiting(self) -> list[Any]:
        """All calls that wait, or that workers have but won't make next."""
    def take_all(self) -> list[Any]:
        """All calls that have no answer."""
    def take_dead(self) -> tuple[Any, list[tuple[Any, int]]] | None:
        """A worker that has ended, and what it had begun, with functions' numbers."""
    def attach(self, worker: Window, /) -> None: ...
    def retire(self) -> list[Any]:
        """Have all workers end if there are no calls; these workers."""
    def disown(self) -> list[Any]:
        """Forget all workers, in a forked child; these workers."""
    def claim_start(self) -> Hold:
        """For as long as a worker is started; granted if one is wanted."""
    def add_bell(self, future: Future[None], /) -> None:
        """Set a future when some call has ended, or if there is none."""
    def is_entered(self) -> bool:
        """Whether this thread gives calls, and was called from within."""
    def is_settling(self) -> bool:
        """Whether this thread ends calls, and was called from within."""
    @property
    def unsettled(self) -> int:
        """Calls that have not ended, and maps that wait."""
    @property
    def workers(self) -> list[Any]: ...
    @property
    def takes(self) -> int:
        """Calls of `take`."""
    @property
    def seconds(self) -> float | None:
        """That a call takes."""
    @property
    def limit(self) -> int:
        """Calls that a worker is sent ahead."""
    @property
    def starting(self) -> int:
        """Workers."""
    @property
    def settles(self) -> bool:
        """Whether some thread ends calls now."""
    @property
    def has_dead(self) -> bool:
        """Whether `take_dead` has something."""
    @property
    def has_left(self) -> bool:
        """Whether another thread than the main one has to call `take`."""
    @property
    def wants_worker(self) -> bool:
        """Whether one more would have something to do."""
    @property
    def holds(self) -> bool:
        """Whether calls wait that could be given to a worker."""
    @property
    def is_uneven(self) -> bool:
        """Whether a worker idles while others may have more than they make."""
    @property
    def forked(self) -> bool:
        """Whether this is a forked child's."""
    @property
    def piped(self) -> bool:
        """Whether only the helper thread may use the channels."""

@final
class Hold:
    """A context manager that undoes something, at the latest when it is dropped."""

    @property
    def granted(self) -> bool:
        """Whether what was asked for was had."""
    def __enter__(self) -> Hold: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None: ...

@final
class AtEnd:
    """Calls a native function when it is dropped."""

    def __new__(cls, function: Callable[[Any], object], argument: Any, /) -> AtEnd: ...

@final
class Seats:
    """The threads that wait for the workers of an executor."""

    def take(self, watch: bool, sleep: bool, /) -> Hold:
        """Have the watch (granted) if wanted and free, else sleep, if wanted."""
    @property
    def watched(self) -> bool:
        """Whether a thread has the watch."""
    @property
    def sleepers(self) -> int:
        """How many threads sleep."""

@final
class Segment:
    """A piece of shared memory of `size` bytes, which is its buffer."""

    def __init__(self, size: int) -> None:
        """New, zeroed, writable. Raises OSError, as the first use of the buffer may."""
    @classmethod
    def open(cls, fd: int, size: int, readonly: bool = True) -> Segment:
        """Map the memory of another segment; takes `fd` over, also if it fails."""
    @property
    def fd(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def readonly(self) -> bool: ...
    def close_fd(self) -> None: ...
    def write(self, data: Buffer, offset: int = 0) -> None:
        """Copy bytes into it, without mapping it: half the cost of a first copy.

        Raises ValueError if they don't fit, OSError if there is no memory for them.
        """
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Scope:
    def enter(self) -> None: ...
    def leave(self) -> bool: ...
    @property
    def reached(self) -> bool: ...
    def __init__(self) -> None: ...
    @property
    def cancelled(self) -> bool: ...
    @property
    def open(self) -> int: ...
    def cancel(self) -> None: ...
    def failures(self) -> list[BaseException]: ...
    def wait(self, timeout: float | None = None, /) -> bool: ...

@final
class Stream:
    def __init__(
        self,
        *,
        engine: Engine,
        fn: Callable[..., Any],
        iterators: tuple[Iterator[Any], ...],
        capacity: int,
        ordered: bool,
        return_exceptions: bool,
        caller_helps: bool,
        most: int,
        timeout: float | None,
        run: int = 0,
    ) -> None: ...
    def __iter__(self) -> Stream: ...
    def __next__(self) -> Any: ...
    def start(self) -> None: ...
    @property
    def done(self) -> int: ...
    def close(self) -> None: ...

@final
class RecordedStream:
    """A `Stream` that was made while somebody records."""

    def __iter__(self) -> RecordedStream: ...
    def __next__(self) -> Any: ...
    def start(self) -> None: ...
    @property
    def done(self) -> int: ...
    def close(self) -> None: ...

@final
class StreamState: ...

@final
class CurrentTask:
    @property
    def cancelled(self) -> bool: ...
    def check(self) -> None: ...

@final
class Tape:
    """What all threads do, written down by the native pool from now on.

    Raises RuntimeError if there are eight of them.
    """

    def __init__(self, *, size: int) -> None: ...
    @property
    def clock(self) -> tuple[int, int, int, int]:
        """Stamp and monotonic nanoseconds, at the beginning and at the end."""
    def close(self) -> None: ...
    def parts(
        self,
    ) -> list[tuple[int, int, int, str, bytes, bytes, bytes, bytes, int, int]]:
        """Of each thread: number, worker, pool, name; calls, others, open calls; totals
        by label; how many calls and others were made."""

def recording_labels() -> list[tuple[str, str | None]]: ...
def recording_label(what: Any, /) -> int: ...
def recording_run() -> int: ...
def recording_on_failure(f: Callable[[BaseException], int], /) -> None: ...

@final
class Sampler:
    """Measures every so many ns what the process uses, and keeps up to `most` rows."""

    def __init__(self, *, every: int, most: int) -> None: ...
    def run(self, seconds: float, pids: tuple[int, ...], /) -> int:
        """Measure for a while, also the processor time of other processes.

        Returns ns that it took to get the interpreter lock then, 0 if it was free, or
        -1 after `end`.
        """
    def end(self) -> None: ...
    def rows(self) -> bytes:
        """Return time (ns), cores in use, threads without one (-1: not known), tasks
        that are ready and that run, of 8 bytes each."""

class Blocking:
    def __init__(self) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...

def place() -> int: ...
def lend(place: int, /) -> None: ...
def take_back(place: int, /) -> None: ...
def own_methods(cls: type, /) -> None: ...
def configure(future_type: type, names: dict[str, Any]) -> None: ...
def configure_graph(
    nodes_in: Callable[[Any], tuple[tuple[Node, ...], Callable[..., Any]] | None],
    containers: tuple[type, ...],
    /,
) -> None: ...

@final
class Condition:
    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...
    def release(self) -> None: ...
    @property
    def wait(self) -> Callable[..., bool]: ...
    @property
    def wait_for(self) -> Callable[..., Any]: ...
    def notify(self, n: int = 1, /) -> None: ...
    def notify_all(self) -> None: ...
    def __enter__(self) -> bool: ...
    def __exit__(self, *exc: object) -> None: ...

@final
class ContextPerCall:
    def run(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any: ...

def current_task() -> CurrentTask | None: ...
def task_context(
    context: contextvars.Context | None = None, /
) -> contextvars.Context: ...
def kernel_loop(
    *,
    engine: Engine,
    kernel: Kernel,
    start: int,
    step: int,
    n: int,
    most: int,
    caller_helps: bool,
    run: int = 0,
) -> None: ...
def reset_after_fork() -> None: ...
def set_interpreter_exiting() -> None: ...
def submit_scoped(
    engine: Engine,
    scope: Scope,
    fn: Callable[_P, _T],
    /,
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> Future[_T]: ...
def end_with(fd: int, /) -> None:
    """End this process when the other end of a connected socket is closed."""

def has_shared_memory() -> bool: ...
def wait_channels(
    channels: Iterable[Channel],
    extra_fds: Iterable[int] = (),
    timeout: float | None = None,
) -> list[int]:
    """Indexes of the channels that are ready or closed, then of readable descriptors.

    A channel is ready with something to receive, or room for what `send` refused.
    Empty after the timeout.
    """
