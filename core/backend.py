"""The one door to MXNet: environment, import, contexts and seeds.

Everything else says ``from dope.core.backend import mx``. Importing this module imports MXNet;
what must stay light (listing, configuration) never imports it.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import numpy as np

from dope.core.cores import physical_cores as physical_cores
from dope.core.cuda import driver as nvidia
from dope.core.cuda.builds import check_installation, is_for_gpus
from dope.core.cuda.libraries import preload
from dope.core.errors import BackendError, ConfigError


def _prepare_driver() -> Optional[nvidia.Driver]:
    """Ask the driver for its cards and load CUDA's libraries; None for the CPU build."""
    if not is_for_gpus(distribution):
        return None
    driver = nvidia.ask()
    driver.require(distribution)
    preload(distribution)
    # The first backward pass on the CPU would ask the driver for its cards, only to warn; that
    # fails or hangs where the driver does.
    for key in ("MXNET_CUDA_LIB_CHECKING", "MXNET_CUDNN_LIB_CHECKING"):
        os.environ.setdefault(key, "0")
    return driver


def _choose_environment() -> dict[str, str]:
    """Thread and engine settings; what the user has set wins (docs/performance.md)."""
    chosen = {"OMP_NUM_THREADS": str(physical_cores()), "MXNET_SUBGRAPH_VERBOSE": "0"}
    # The threaded engine hands each operator to another thread, whose OpenMP team then fights
    # the main thread: on CPU alone the synchronous engine is 1.2 to 1.8 times faster.
    if driver is None or not driver.usable(distribution):
        chosen["MXNET_ENGINE_TYPE"] = "NaiveEngine"
    elif driver.cuda and driver.cuda < nvidia.FUSION_NEEDS:
        chosen["MXNET_USE_FUSION"] = "0"
    for key, value in chosen.items():
        os.environ.setdefault(key, value)
    chosen.setdefault("MXNET_ENGINE_TYPE", "ThreadedEnginePerDevice")
    return {key: os.environ.get(key, value) for key, value in chosen.items()}


@contextlib.contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what the C++ side prints at its first start; show it if the start fails."""
    with tempfile.TemporaryFile() as held:
        try:
            saved = os.dup(2)
        except OSError:  # no standard error at all (a daemon)
            yield
            return
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(saved, 2)
            held.seek(0)
            os.write(2, held.read())
            raise
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _import_mxnet() -> Any:
    # MXNet 1.9.1 refers to np.bool at import and again at run time.
    np.bool = bool  # type: ignore[attr-defined]
    # In a process with another role than a worker's, the import would become a server that
    # unpickles what it is sent, and never return (core/distributing/serving.py).
    role = os.environ.pop("DMLC_ROLE", None)
    with warnings.catch_warnings(), _quiet_stderr():
        warnings.simplefilter("ignore")
        try:
            import mxnet

            mxnet.nd.zeros(1).wait_to_read()
        except OSError as error:
            raise BackendError(f"MXNet does not load: {error}", "Run: dope doctor") from error
        except ImportError as error:
            raise BackendError(
                f"MXNet does not import: {error}", "Run: pip install 'dope[cpu]' 'numpy<2'"
            ) from error
        finally:
            if role is not None:
                os.environ["DMLC_ROLE"] = role
    return mxnet


def use_threads(count: Optional[int]) -> None:
    """Let each operator use this many threads; None means one a physical core.

    Does nothing where the user has set ``OMP_NUM_THREADS``: MXNet then follows that.
    """
    if _threads_are_ours:
        with contextlib.suppress(OSError, AttributeError):
            openmp = ctypes.CDLL("libgomp.so.1")  # the runtime that MXNet is linked with
            openmp.omp_set_num_threads(count or physical_cores())
            environment["OMP_NUM_THREADS"] = str(count or physical_cores())


def operator_threads() -> int:
    """Threads that an operator takes on CPU just now."""
    first = environment["OMP_NUM_THREADS"].split(",")[0].strip()
    return int(first) if first.isdigit() else physical_cores()


_threads_are_ours = "OMP_NUM_THREADS" not in os.environ
distribution = check_installation()
driver = _prepare_driver()
environment = _choose_environment()
mx = _import_mxnet()
nd = mx.nd
if driver is not None and environment["MXNET_ENGINE_TYPE"] == "NaiveEngine":
    # At the very end the CUDA build's synchronous engine says "Engine shutdown".
    atexit.register(os.dup2, os.open(os.devnull, os.O_WRONLY), 2)


def synchronous(context: Any) -> bool:
    """Whether an operator on this context has finished when its call returns."""
    engine = environment["MXNET_ENGINE_TYPE"]
    return bool(engine == "NaiveEngine" and context.device_type == "cpu")


def copy_into(target: Any, source: Any) -> None:
    """Copy an array into another of its shape and type, without an operator: a fifth of the time.

    For contexts that are `synchronous`; elsewhere it would wait for the device.
    """
    copy = mx.base._LIB.MXNDArraySyncCopyFromNDArray
    mx.base.check_call(copy(target.handle, source.handle, ctypes.c_int(-1)))


class Executor:
    """A symbol bound to arrays, on a CPU context: forward and backward as one call.

    Parameters
    ----------
    symbol
        What is computed. The first output is differentiated, its sum that is.
    context
        Where.
    arguments, states, grads
        Arrays by name: all arguments, all auxiliary states, and where gradients go for the
        arguments that have one.

    Attributes
    ----------
    outputs : list of NDArray
        The same arrays after each call.
    """

    def __init__(
        self,
        symbol: Any,
        context: Any,
        arguments: Mapping[str, Any],
        states: Mapping[str, Any],
        grads: Mapping[str, Any],
    ) -> None:
        self._bound = symbol.bind(
            context,
            dict(arguments),
            args_grad=dict(grads),
            grad_req={name: "write" if name in grads else "null" for name in arguments},
            aux_states=dict(states),
        )
        self.outputs = list(self._bound.outputs)
        self._heads = [nd.ones_like(self.outputs[0]), *map(nd.zeros_like, self.outputs[1:])]
        handles = [head.handle for head in self._heads]
        self._given = (mx.base.NDArrayHandle * len(handles))(*handles)

    def __call__(self) -> None:
        """Compute outputs and gradients from the arrays as they stand."""
        library, handle, yes = mx.base._LIB, self._bound.handle, ctypes.c_int(1)
        mx.base.check_call(library.MXExecutorForward(handle, yes))
        n = ctypes.c_uint(len(self._given))
        mx.base.check_call(library.MXExecutorBackwardEx(handle, n, self._given, yes))


class HostView:
    """The memory of a dense array as a flat NumPy array; it follows when MXNet moves the array.

    Only where the engine is `synchronous`: nothing else keeps MXNet and NumPy in order.

    Parameters
    ----------
    array
        An NDArray on a CPU context.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self._pointer = ctypes.c_void_p()
        self._address: Optional[int] = None

    def __call__(self) -> np.ndarray:
        """Shape (size,). Call it anew after anything that MXNet has computed."""
        # An array that oneDNN has laid out its own way is put back into rows by this call.
        mx.base.check_call(
            mx.base._LIB.MXNDArrayGetData(self._array.handle, ctypes.byref(self._pointer))
        )
        if self._pointer.value != self._address:
            kind = np.ctypeslib.as_ctypes_type(np.dtype(self._array.dtype))
            start = ctypes.cast(self._pointer, ctypes.POINTER(kind))
            self._view: np.ndarray = np.ctypeslib.as_array(start, shape=(self._array.size,))
            self._address = self._pointer.value
        return self._view


def _usable_gpus() -> list[int]:
    """Numbers of the GPUs that may be used; MXNet is asked only where it is its own build."""
    if driver is None:
        return list(range(mx.context.num_gpus()))
    return driver.usable(distribution)


def note_on_auto() -> str:
    """What ``auto`` stands for where a CUDA build leaves GPUs out or finds none, and why.

    Empty where there is nothing to say.
    """
    why = "" if driver is None else driver.left_out(distribution)
    return f"--contexts auto is {','.join(map(str, _automatic()))}: {why}" if why else ""


def _automatic() -> list[Any]:
    return [mx.gpu(i) for i in _usable_gpus()] or [mx.cpu(0)]


_said: set[str] = set()  # once a process is enough


def _refusal(index: int, gpus: list[int]) -> ConfigError:
    """Why ``gpu(index)`` cannot be used."""
    if driver is not None:
        why = driver.refusal(distribution, index)
        hint = "Try --contexts auto. See also: dope doctor"
    elif gpus:  # a build of one's own
        why, hint = f"MXNet finds {len(gpus)}", "Try --contexts auto."
    else:
        why = f"this is the CPU build of MXNet ({distribution})"
        hint = "Try --contexts auto. For a GPU see docs/gpu.md."
    return ConfigError(f"--contexts: gpu({index}) cannot be used: {why}", hint)


def contexts(text: str = "auto") -> list[Any]:
    """MXNet contexts from text such as ``cpu(0),cpu(1)``, ``gpu(0)`` or ``auto``.

    ``auto`` means all GPUs that this build can use, or ``cpu(0)`` where there is none. If a CUDA
    build leaves cards out, or finds none, that is said once on standard error.

    Raises
    ------
    ConfigError
        The text is not a list of contexts, or one is named twice, or a GPU cannot be used.
    """
    if text.strip() == "auto":
        note = note_on_auto()
        if note and note not in _said:
            _said.add(note)
            print(f"note: {note}", file=sys.stderr, flush=True)
        return _automatic()
    gpus = _usable_gpus()
    found = []
    for word in re.split(r"\s*,\s*", text.strip()):
        match = re.fullmatch(r"(cpu|gpu)(?:\((\d+)\))?", word)
        if match is None:
            raise ConfigError(
                f"--contexts: '{word}' is not a context", "Write cpu(0),cpu(1) or gpu(0) or auto."
            )
        kind, index = match[1], int(match[2] or 0)
        if kind == "gpu" and index not in gpus:
            raise _refusal(index, gpus)
        found.append(getattr(mx, kind)(index))
    if len(set(found)) < len(found):
        raise ConfigError(f"--contexts: a context is named twice in '{text}'", "Name each once.")
    return found


def seed(*key: int, worker: int = 0) -> np.random.Generator:
    """Seed MXNet and NumPy's global generator from a key such as (seed, epoch, step).

    Worker k of several draws its own numbers from MXNet (dropout must not be the same for all
    parts of a batch), and the same as the others from NumPy (the order of the examples must be).

    MXNet's generator state cannot be read back, so a run is seeded anew at every point where
    a checkpoint can be taken: resuming from there continues with the same numbers.

    Returns
    -------
    numpy.random.Generator
        A generator of its own, from the same key.
    """
    sequence = np.random.SeedSequence([abs(int(k)) for k in key])
    words = sequence.generate_state(3)
    mx.random.seed(int((words[0] + worker) & 0x7FFFFFFF))
    np.random.seed(int(words[1]))
    return np.random.default_rng(sequence.spawn(1)[0])
