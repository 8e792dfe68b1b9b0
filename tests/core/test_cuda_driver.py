"""Which cards there are and can be used, from a stub of NVIDIA's driver that gcc compiles here.

Needs no GPU; what a real driver answers is not tested here.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path

import pytest

from dope.core.cuda.apart import ending, told
from dope.core.cuda.driver import Card, Driver
from dope.core.errors import BackendError

Machine = runpy.run_path(str(Path(__file__).with_name("cuda_machine.py")))["Machine"]
BUILD = "mxnet-cu112"
ASK = """
import dataclasses, json, time
from dope.core.cuda.driver import ask
began = time.monotonic()
found = ask({seconds})
print(json.dumps({{**dataclasses.asdict(found), "took": time.monotonic() - began,
    "usable": found.usable("mxnet-cu112"), "left_out": found.left_out("mxnet-cu112")}}))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(tmp_path_factory.mktemp("machine"))


def ask(machine, seconds=20, **variables):
    done = machine.run(ASK.format(seconds=seconds), **variables)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return json.loads(done.stdout)


def test_cards_are_told_with_name_and_capability(machine):
    found = ask(machine, STUB_CARDS="7.5,8.6")
    assert found["cards"] == [
        {"name": "Stub 0", "capability": [7, 5], "trouble": ""},
        {"name": "Stub 1", "capability": [8, 6], "trouble": ""},
    ]
    assert found["cuda"] == [12, 2] and found["trouble"] == found["missing"] == ""
    assert found["usable"] == [0, 1] and found["left_out"] == ""


@pytest.mark.parametrize(
    ("capability", "fits"),
    [
        ("3.7", False),
        ("4.9", False),
        ("5.0", True),
        ("6.1", True),
        ("8.9", True),
        ("9.0", False),
        ("10.0", False),
        ("12.1", False),
    ],
)
def test_cards_that_the_build_has_no_code_for(machine, capability, fits):
    found = ask(machine, STUB_CARDS=f"8.0,{capability}")
    assert found["usable"] == ([0, 1] if fits else [0])
    why = f"gpu(1): Stub 1 has compute capability {capability}, and {BUILD} has code for 5.0 to 8.9"
    assert found["left_out"] == ("" if fits else why)


def test_the_driver_is_asked_in_another_process(machine):
    done = machine.run(f"import os; print(os.getpid())\n{ASK.format(seconds=20)}", STUB_CARDS="8.0")
    own = done.stdout.split()[0]
    callers = {process for process, call in machine.logged() if call.startswith("cu")}
    assert len(callers) == 1 and own not in callers


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "the NVIDIA driver shows no card"),
        ({"STUB_INIT": "100"}, "the NVIDIA driver shows no card"),
        (
            {"STUB_INIT": "100", "CUDA_VISIBLE_DEVICES": ""},
            "the NVIDIA driver shows no card (CUDA_VISIBLE_DEVICES is '')",
        ),
        (
            {"STUB_INIT": "999"},
            "the NVIDIA driver does not work: cuInit says 999 (unknown error)",
        ),
        ({"STUB_INIT": "803"}, "the NVIDIA driver does not work: cuInit says 803"),
        (
            {"STUB_CRASH": "cuDeviceGetCount", "STUB_CARDS": "8.0"},
            "the NVIDIA driver failed: died of signal 6",
        ),
        (
            {"STUB_VERSION": "10020", "STUB_CARDS": "8.0"},
            "the NVIDIA driver is for CUDA 10.2, and mxnet-cu112 needs one for 11.0 or later"
            " (450.80 or newer)",
        ),
    ],
    ids=["none", "no device", "hidden", "broken", "mismatch", "crash", "old"],
)
def test_drivers_without_a_card_to_use(machine, variables, words):
    found = ask(machine, **variables)
    assert found["usable"] == [] and found["left_out"] == words


def test_one_card_that_the_driver_does_not_describe(machine):
    found = ask(machine, STUB_CARDS="8.0", STUB_ATTRIBUTE="999")
    assert found["usable"] == []
    assert found["left_out"] == "gpu(0): cuDeviceGetAttribute says 999 (unknown error)"


@pytest.mark.parametrize("call", ["cuInit", "cuDeviceGetAttribute"])
def test_a_driver_that_hangs_is_given_up(machine, call):
    found = ask(machine, seconds=1, STUB_HANG=call, STUB_CARDS="8.0,8.0")
    assert found["usable"] == [] and 1 <= found["took"] < 10
    assert found["left_out"] == "the NVIDIA driver failed: no answer within 1 s"


def test_a_driver_library_that_is_none(machine, tmp_path):
    (tmp_path / "libcuda.so.1").write_text("not a library, but long enough to be looked at" * 9)
    found = ask(machine, driver=False, libraries=str(tmp_path))
    assert "invalid ELF header" in found["missing"] and found["usable"] == []
    with pytest.raises(
        BackendError, match=r"libcuda.so.1 of the NVIDIA driver does not load: "
    ) as e:
        Driver(missing=found["missing"]).require(BUILD)
    assert "Install the driver anew, or run: pip uninstall -y mxnet-cu112" in e.value.hint


def test_no_driver_at_all():
    words = "libcuda.so.1: cannot open shared object file: No such file or directory"
    with pytest.raises(
        BackendError, match="there is no NVIDIA driver: mxnet-cu112 does not load"
    ) as e:
        Driver(missing=words).require(BUILD)
    assert e.value.hint == (
        "Install the driver, or run: pip uninstall -y mxnet-cu112 && pip install 'dope[cpu]'"
    )
    Driver(trouble="broken, but it loads").require(BUILD)


def test_reasons_are_given_once_for_all_cards_that_share_them():
    driver = Driver(cards=(Card("A", (9, 0)), Card("B", (8, 0)), Card("A", (9, 0))))
    assert driver.left_out(BUILD).startswith("gpu(0), gpu(2): A has compute capability 9.0")
    assert driver.usable(BUILD) == [1]
    assert driver.refusal(BUILD, 1) == "" and driver.refusal(BUILD, 0).startswith("A has")
    assert driver.refusal(BUILD, 3) == "only gpu(0) to gpu(2) are there"
    assert Driver(cards=(Card("B", (8, 0)),)).refusal(BUILD, 1) == "only gpu(0) is there"


def test_builds_whose_limits_are_not_known_take_all_cards():
    driver = Driver(cuda=(10, 2), cards=(Card("A", (9, 0)),))
    assert driver.usable("mxnet-cu102") == [0]


def python(code):
    return [sys.executable, "-c", code]


def test_what_a_program_said_before_it_hung():
    code = "import time\nprint('{\"a\": 1}', flush=True)\nprint('odd')\ntime.sleep(60)"
    began = time.monotonic()
    said = told(python(code), 1.5)
    assert said == {"a": 1, "code": None, "errors": []} and time.monotonic() - began < 10
    assert ending(said, 1.5) == "no answer within 1.5 s"


def test_what_a_program_said_before_it_died():
    said = told(python('import os\nprint(\'{"a": 1}\\n{"a": 2}\', flush=True)\nos.abort()'), 20)
    assert said == {"a": 2, "code": -6, "errors": []}
    assert ending(said, 20) == "died of signal 6"
    said = told(python("import sys; sys.exit('first\\nlast')"), 20)
    assert ending(said, 20) == "ended too early last"


def test_a_program_that_is_not_there():
    said = told(["/no/such/program"], 20)
    assert said["code"] == 1 and "No such file" in said["errors"][0]
