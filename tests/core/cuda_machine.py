"""A machine with an NVIDIA driver and a CUDA build of MXNet, as far as stubs compiled here go.

Holds no tests; tests load it by its path, for they are no package.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

import dope
from dope.core.cuda.libraries import LIBRARIES, PINS

# Every call is written down. STUB_HANG and STUB_CRASH name the call that does so; 34 is what
# calls answer that no stub can serve.
DRIVER = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *text(const char *name, const char *otherwise) {
    const char *found = getenv(name);
    return found ? found : otherwise;
}

static void called(const char *name) {
    const char *log = getenv("STUB_LOG");
    FILE *file = log ? fopen(log, "a") : NULL;
    if (file) { fprintf(file, "%d %s\n", getpid(), name); fclose(file); }
    if (!strcmp(text("STUB_HANG", ""), name)) for (;;) pause();
    if (!strcmp(text("STUB_CRASH", ""), name)) abort();
}

int cuInit(unsigned flags) { called("cuInit"); return atoi(text("STUB_INIT", "0")); }
int cuDriverGetVersion(int *version) {
    called("cuDriverGetVersion");
    *version = atoi(text("STUB_VERSION", "12020"));
    return 0;
}
/* STUB_CARDS is a list of capabilities: 8.0,9.0 */
static const char *card(int index) {
    const char *at = text("STUB_CARDS", "");
    for (; index && at; index--) { at = strchr(at, ','); at = at ? at + 1 : at; }
    return at && *at ? at : NULL;
}
int cuDeviceGetCount(int *count) {
    called("cuDeviceGetCount");
    for (*count = 0; card(*count); ) ++*count;
    return 0;
}
int cuDeviceGet(int *device, int index) {
    called("cuDeviceGet");
    *device = index;
    return card(index) ? 0 : 101;
}
int cuDeviceGetName(char *name, int size, int device) {
    called("cuDeviceGetName");
    snprintf(name, size, "Stub %d", device);
    return 0;
}
int cuDeviceGetAttribute(int *value, int which, int device) {
    int major = 0, minor = 0;
    called("cuDeviceGetAttribute");
    sscanf(card(device), "%d.%d", &major, &minor);
    *value = which == 75 ? major : which == 76 ? minor : 0;
    return atoi(text("STUB_ATTRIBUTE", "0"));
}
int cuGetErrorString(int code, const char **words) {
    *words = code == 999 ? "unknown error" : NULL;
    return code == 999 ? 0 : 1;
}
#define CANNOT(name) int name(void) { called(#name); return 34; }
CANNOT(cuDevicePrimaryCtxRetain) CANNOT(cuGraphKernelNodeGetParams) CANNOT(cuGraphNodeGetType)
CANNOT(cuLaunchKernel) CANNOT(cuModuleGetFunction) CANNOT(cuModuleLoadData)
CANNOT(cuModuleLoadDataEx) CANNOT(cuModuleUnload)
"""

# Any library: it writes its file down when it is loaded.
LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int stub_library(void) { return 1; }
__attribute__((constructor)) static void loaded(void) {
    Dl_info info;
    const char *log = getenv("STUB_LOG");
    FILE *file = log && dladdr(loaded, &info) ? fopen(log, "a") : NULL;
    if (file) { fprintf(file, "loaded %s\n", info.dli_fname); fclose(file); }
}
"""

# As much of MXNet as core/backend.py touches. Like libmxnet it wants CUDA's libraries loaded.
MXNET = """
import ctypes
from types import SimpleNamespace
ctypes.CDLL(None).cuInit, ctypes.CDLL(None).stub_library
__version__ = "1.9.1"

class Context:
    def __init__(self, kind, index):
        self.device_type, self.device_id = kind, index
    def __str__(self):
        return f"{self.device_type}({self.device_id})"
    def __eq__(self, other):
        return str(self) == str(other)
    def __hash__(self):
        return hash(str(self))

def cpu(index=0):
    return Context("cpu", index)

def gpu(index=0):
    return Context("gpu", index)

def num_gpus():
    raise AssertionError("asks the driver")

context = SimpleNamespace(num_gpus=num_gpus)
nd = SimpleNamespace(zeros=lambda n: SimpleNamespace(wait_to_read=lambda: None))
"""


def compile_library(target: Path, source: str, *options: str) -> Path:
    """Compile C into a shared library."""
    target.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-w", *options, "-o", str(target), "-x", "c", "-"],
        input=source,
        text=True,
        check=True,
        timeout=60,
    )
    return target


class Machine:
    """Processes that see a stub of the driver and a ``site-packages`` of their own.

    Only NumPy and dope come from the environment of the tests; so that what is installed there
    does not count.

    Parameters
    ----------
    folder
        Where all of it is written.
    """

    def __init__(self, folder: Path) -> None:
        self.site, self.drivers, self.log = folder / "site", folder / "drivers", folder / "log"
        self.site.mkdir()
        compile_library(self.drivers / "libcuda.so.1", DRIVER, "-Wl,-soname,libcuda.so.1")
        self.any_library = compile_library(folder / "any.so", LIBRARY, "-ldl")
        numpy = Path(np.__file__).parent
        for name in ("numpy", "numpy.libs"):
            if (numpy.parent / name).exists():
                (self.site / name).symlink_to(numpy.parent / name)

    def install(self, name: str, version: str, *files: str) -> None:
        """Write the traces of an installed distribution; its files are only named."""
        info = self.site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = (file if "," in file else f"{file},," for file in files)
        (info / "RECORD").write_text("".join(f"{line}\n" for line in lines))

    def uninstall(self, name: str) -> None:
        """Take the traces away again."""
        for info in self.site.glob(f"{name.replace('-', '_')}-*.dist-info"):
            shutil.rmtree(info)

    def install_mxnet(self, name: str = "mxnet-cu112", version: str = "1.9.1") -> None:
        """Write a stub of MXNet too."""
        self.install(name, version, "mxnet/__init__.py", "mxnet/libmxnet.so")
        (self.site / "mxnet").mkdir(exist_ok=True)
        (self.site / "mxnet" / "__init__.py").write_text(MXNET)
        (self.site / "mxnet" / "libmxnet.so").write_text("")

    def library(self, name: str, package: str) -> Path:
        """Where the wheel of NVIDIA puts a library."""
        folder = package.replace("nvidia-", "").replace("-cu11", "").replace("-", "_")
        return self.site / "nvidia" / folder / "lib" / name.replace("*", "8")

    def install_wheels(self) -> None:
        """Write all of NVIDIA's wheels, with the versions that dope asks for."""
        for package, version in PINS.items():
            self.install(package, version)
        for name, package in LIBRARIES:
            file = self.library(name, package)
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.any_library, file)

    def logged(self) -> list[list[str]]:
        """What the stubs wrote down: process and call, or ``loaded`` and file."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line.split(maxsplit=1) for line in lines]

    def run(
        self, code: str, *, driver: bool = True, **variables: str
    ) -> subprocess.CompletedProcess:
        """Run Python to its end, on this machine."""
        self.log.unlink(missing_ok=True)
        kept = ("PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE")
        folders = ([str(self.drivers)] if driver else []) + variables.pop("libraries", "").split()
        env = {
            **{key: os.environ[key] for key in kept if key in os.environ},
            "PYTHONPATH": os.pathsep.join([str(self.site), str(Path(dope.__file__).parents[1])]),
            "LD_LIBRARY_PATH": os.pathsep.join(folders),
            "STUB_LOG": str(self.log),
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-S", "-c", code],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
        )
