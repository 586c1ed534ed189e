"""The layers of the package: every file has one, and imports lower ones only.

That holds for all imports: those inside of functions, and those for type checkers. So
there is no circle anywhere. Nothing inside imports the package itself, whose
``__init__`` is the top layer.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python" / "fastflow"

#: Packages, and modules beside them, lowest first. Those of one floor don't know each
#: other. docs/architecture.md draws this.
FLOORS = (
    "_core errors benchmarks",
    "base",
    "pool",
    "processes",
    "run",
    "backends",
    "engines journal",
    "dsl",
    "flows workflows durable",
    "seeing",
    "testing bench",
    "cli",
    "__main__",
    "__init__",
)

#: Inside of a package: each line is a layer, lowest first.
FILES = {
    "seeing": (
        "__init__ logs otel.ids otel.meters otel.spans pictures pictures.bins texts "
        "trace traces",
        "otel.telemetry",
        "otel",
        "pictures.groups pictures.shades task_rows",
        "pictures.layers pictures.gantt pictures.views",
        "pictures.dag pictures.layout",
        "pictures.boxes pictures.svg",
        "pictures.text notebook",
        "traces.protobuf",
        "columns notes tape",
        "counters machine tracing",
        "explain.spans explain.words nodes traces.tracks",
        "traces.arrows explain.account explain.path",
        "traces.events",
        "traces.chrome",
        "traces.perfetto",
        "explain.levels",
        "explain.facts",
        "explain.shape",
        "explain.causes explain.result",
        "explain.answer",
        "explain",
        "past.builder report.columns report.summary report.text saved",
        "past.durable past.flow report.data",
        "past.reading",
        "past",
        "report.graph",
        "report.parts",
        "report.file",
        "report",
        "recording",
    ),
    "base": (
        "__init__ containers doctor drawn durations former interrupts lifetime log_ids "
        "modules names options serial_queue signatures terminal textfiles topology",
        "aio bars nested recorders timers",
        "progress",
    ),
    "pool": (
        "__init__ arrays blas columns future kernel waiting workers",
        "executor",
        "dispatch named",
        "fanout taskgroup",
    ),
    "processes": (
        "__init__ bell messages pipe place remote_traceback sigint undisturbed",
        "answers buffers guard transport",
        "future packing",
        "recorded",
        "chunks worker_main",
        "workers",
        "deaths",
        "desk",
        "watch",
        "executor",
        "shared",
    ),
    "run": (
        "__init__ active attempts cache clocks completion events kept params "
        "recorder retry scope status",
        "handles job job_spans results task",
        "loop plan remote",
        "items pauses",
        "inline",
        "registry task_job",
        "admission",
    ),
    "backends": (
        "__init__ fan joblib_door lanes local",
        "travel",
        "references sender",
        "cluster",
        "dask_cluster processes ray_cluster remote",
        "choose",
        "fans routed",
    ),
    "engines": (
        "__init__ base graph limits",
        "items observed",
        "calls coroutines host",
        "serial workers",
        "native",
        "hosted",
        "choose",
    ),
    "journal": (
        "__init__ errors identity leases sqlite_log statuses",
        "decoding records",
        "codecs inputs sqlite_rows sqlite_values",
        "journal serdes",
        "memory payloads sqlite_messages sqlite_owners sqlite_schema writer",
        "sqlite_file",
        "sqlite",
    ),
    "dsl": (
        "__init__ imports inline lexer source suggest syntax",
        "values",
        "chains task_spec",
        "parser printer",
        "spec",
        "compiler reader",
        "formatter",
    ),
    "flows": (
        "__init__ history outcome",
        "calls",
        "recorded",
        "flow function",
        "files",
    ),
    "workflows": (
        "cache differences dispatch inbox limits records state",
        "context options policies",
        "checks hooks items jobs shared_context",
        "actions",
        "fiber shared",
        "fan program",
        "branches fans run steps waits",
        "mocks shutdown verbs",
        "harness",
        "builder",
        "__init__",
    ),
    "durable": (
        "direct exceptions journal memory operations runtime runtime.coroutines "
        "runtime.worker_count sqlite",
        "lambda_service runtime.scheduler",
        "runtime.failures runtime.runtime",
        "completion runtime.execution_state",
        "config handle runtime.lease_keeper runtime.recorder",
        "results retries runtime.replay waits",
        "operations.position serdes",
        "history logs operations.operation",
        "operations.batch operations.child operations.invoke operations.wait types",
        "callback operations.attempted",
        "answers operations.calls",
        "operations.condition operations.step",
        "context",
        "functions",
        "execution runner",
        "__init__",
    ),
}

#: Where Python.h and pybind11 may be included, and what the core must not know.
CORE = PACKAGE.parents[1] / "cpp" / "core"


def name_of(path):
    """A module's name below the package: ``durable.operations.step``."""
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name if name == "__init__" else name.removesuffix(".__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def unit_of(name):
    return name.partition(".")[0]


FLOOR_OF = {unit: n for n, line in enumerate(FLOORS) for unit in line.split()}
LAYER_OF = {
    f"{unit}.{name}" if name != "__init__" else unit: n
    for unit, lines in FILES.items()
    for n, line in enumerate(lines)
    for name in line.split()
}


def absolute(node, name):
    """Dotted names, from the package on, that an import statement refers to."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if node.level == 0:
        base = node.module or ""
    else:
        path = MODULES[name].relative_to(PACKAGE)
        inside = ["fastflow", *path.parts[:-1]]
        parts = inside[: len(inside) - node.level + 1]
        base = ".".join([*parts, *([node.module] if node.module else [])])
    # `from . import x` may name a module; `from .m import x` names m at least.
    return [f"{base}.{alias.name}" for alias in node.names]


def imported(name):
    """Pairs of (line, module) for each import of the package's own modules."""
    for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        for dotted in absolute(node, name):
            head, _, rest = dotted.partition(".")
            if head != "fastflow":
                continue
            while rest and rest not in MODULES and rest != "_core":
                rest = rest.rpartition(".")[0]
            yield node.lineno, rest or "__init__"


def allowed(name, other):
    """Whether a module may import another one."""
    unit, theirs = unit_of(name), unit_of(other)
    if unit != theirs:
        return FLOOR_OF[theirs] < FLOOR_OF[unit]
    return unit not in FILES or LAYER_OF[other] < LAYER_OF[name]


def test_at_most_twenty_things_at_the_top():
    top = {unit_of(name) for name in MODULES} | {"_core"}
    assert len(top) <= 20


def test_every_module_has_a_layer():
    units = {unit_of(name) for name in MODULES}
    assert sorted(units | {"_core"}) == sorted(FLOOR_OF)
    assert sum(len(line.split()) for line in FLOORS) == len(FLOOR_OF)
    inside = {name for name in MODULES if unit_of(name) in FILES}
    assert inside - set(LAYER_OF) == set(), "no line in FILES has these files"
    assert set(LAYER_OF) - inside == set(), "FILES names these, which don't exist"
    named = [
        name for lines in FILES.values() for line in lines for name in line.split()
    ]
    assert len(named) == len(LAYER_OF)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_lower_layers_only(name):
    wrong = [
        f"line {line} imports {other}"
        for line, other in imported(name)
        if other != name and not allowed(name, other)
    ]
    assert wrong == []


def test_there_is_no_circle():
    # Where a package has no layers of its own, its files might go round.
    found = {name: {other for _, other in imported(name)} for name in MODULES}
    left = {name: others & found.keys() - {name} for name, others in found.items()}
    while True:
        free = {name for name, others in left.items() if not others & left.keys()}
        if not free:
            break
        left = {name: others for name, others in left.items() if name not in free}
    assert left == {}


def test_the_native_core_knows_no_python():
    wrong = [
        f"{path.name}: {line}"
        for path in sorted(CORE.glob("*.[ch]pp"))
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("#include") and ("Python" in line or "pybind11" in line)
    ]
    assert wrong == []
