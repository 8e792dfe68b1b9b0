"""Options read from source text: annotations, defaults, docs, inheritance, and nothing imported.

Checking values against them is tested in test_config.py.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Tuple, Union

import pytest

from dope.core.configuring import signature as signature_module
from dope.core.configuring import source
from dope.core.configuring.annotations import annotation_from, type_text
from dope.core.configuring.signature import REQUIRED, class_attribute, signature
from dope.core.errors import PluginError
from dope.core.optimizing.optimizers import OPTIMIZERS

BASE = '''
"""Base."""
raise RuntimeError("this module must not be imported")
from pathlib import Path
from typing import Literal, Optional

Kind = Literal["relu", "tanh"]
WIDTH = 8


class Root:
    """Root of all.

    Parameters
    ----------
    net : Block
        Filled in by dope.
    width : int, optional
        Units per
        layer.
    seed, salt
        Both start the generator.

    Notes
    -----
    depth
        Not a parameter.
    """

    summary = "root"
    defaults = {"model": "toy.net", "trainer": {"epochs": WIDTH}}

    def __init__(self, net, *, width: int = WIDTH, seed: int = -1, salt: Optional[str] = None):
        pass
'''

CODE = '''
raise RuntimeError("this module must not be imported")
import sig_pkg.base as roots
from .base import Kind, Root as Origin
from mxnet.gluon import HybridBlock
from typing import List, Union

PLAIN = {"a": 1}


class Bare(Origin):
    """Says nothing of its own."""


class Wide(Origin, HybridBlock):
    """Wide one.

    Second line of the paragraph is after a blank.
    """

    defaults = {**PLAIN, "b": [1, (2, -3.5)]}

    def __init__(self, net, *, width: int = 99, kind: Kind = "relu", path: "Path", **options):
        """
        Parameters
        ----------
        width
            Told anew.
        kind : {"relu", "tanh"}
            Shape of the bend.
        """
        super().__init__(net, width=width, salt="fixed", **options)


class Closed(roots.Root):
    def __init__(self, *, only: Union[int, str, None] = None):
        super().__init__(None)


class Left(Bare):
    def __init__(self, *, left: float = 1.0, **options): ...


class Right(Bare):
    def __init__(self, *, right: float = 2.0, **options): ...


class Both(Left, Right):
    pass


def loss(prediction, label, *, weights: List[float] = [1.0, 2.0]):
    """A loss.

    Parameters
    ----------
    weights
        One per class.
    """


class Unannotated:
    def __init__(self, *, x=3): ...


class Odd:
    def __init__(self, *, fine: int = 3, odd: "HybridBlock" = None): ...


class Cycle:
    def __init__(self, *, x: Loop = None): ...


Loop = List[Loop]
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "sig_pkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "base.py").write_text(BASE)
    (folder / "code.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [n for n in sys.modules if n.partition(".")[0] == "sig_pkg"]:
        del sys.modules[name]


def test_options_are_the_keyword_only_arguments(package):
    found = signature("sig_pkg.base:Root")
    assert found.doc_summary == "Root of all."
    assert list(found.options) == ["width", "seed", "salt"]
    width, seed, salt = found.options.values()
    assert (width.annotation, width.default, width.description) == (int, 8, "Units per layer.")
    assert (seed.annotation, seed.default) == (int, -1)
    assert (salt.annotation, salt.default) == (Optional[str], None)
    assert seed.description == salt.description == "Both start the generator."
    assert "sig_pkg.base" not in sys.modules


def test_class_without_constructor_takes_its_base_s(package):
    found = signature("sig_pkg.code:Bare")
    assert list(found.options) == ["width", "seed", "salt"]
    assert found.doc_summary == "Says nothing of its own."


def test_double_star_adds_the_base_s_options_but_not_those_it_sets_itself(package):
    loaded = set(sys.modules)
    options = signature("sig_pkg.code:Wide").options
    assert list(options) == ["width", "kind", "path", "seed"]
    assert (options["width"].default, options["width"].description) == (99, "Told anew.")
    assert options["kind"].annotation == Literal["relu", "tanh"]
    assert options["path"].annotation is Path and options["path"].default is REQUIRED
    assert options["seed"].description == "Both start the generator."
    assert not {"mxnet", "sig_pkg.code"} & (set(sys.modules) - loaded)


def test_constructor_without_double_star_closes_the_door(package):
    options = signature("sig_pkg.code:Closed").options
    assert list(options) == ["only"] and options["only"].annotation == Union[int, str, None]


def test_diamond_follows_python_s_order(package):
    assert list(signature("sig_pkg.code:Both").options) == [
        "left",
        "right",
        "width",
        "seed",
        "salt",
    ]


def test_function(package):
    found = signature("sig_pkg.code:loss")
    assert found.doc_summary == "A loss." and list(found.options) == ["weights"]
    weights = found.options["weights"]
    assert (weights.annotation, weights.default) == (List[float], [1.0, 2.0])
    weights.default.append(3)  # what one reader does, the next does not see
    assert signature("sig_pkg.code:loss").options["weights"].default == [1.0, 2.0]


def test_class_attributes_and_their_inheritance(package):
    assert class_attribute("sig_pkg.code:Wide", "defaults") == {"a": 1, "b": [1, (2, -3.5)]}
    inherited = class_attribute("sig_pkg.code:Both", "defaults")
    assert inherited == {"model": "toy.net", "trainer": {"epochs": 8}}
    assert class_attribute("sig_pkg.code:Closed", "summary") == "root"  # through "import … as"
    assert class_attribute("sig_pkg.code:Both", "profiles", {"x": 1}) == {"x": 1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Unannotated", "option 'x' has no type annotation"),
        ("Odd", "option 'odd' has annotation 'HybridBlock', which no option may have"),
        ("Cycle", "option 'x' has annotation Loop"),
    ],
)
def test_options_that_cannot_be(package, name, words):
    with pytest.raises(PluginError, match=words):
        signature(f"sig_pkg.code:{name}")


def test_missing_modules_names_and_broken_source(package):
    with pytest.raises(PluginError, match=r"there is no module 'sig_pkg\.absent'"):
        signature("sig_pkg.absent:X")
    with pytest.raises(PluginError, match=r"'absent_pkg\.x' is not found"):
        signature("absent_pkg.x:X")
    (package / "bad.py").write_text("x = 1\ndef (\n")
    with pytest.raises(PluginError, match=r"bad\.py:2: SyntaxError"):
        signature("sig_pkg.bad:X")
    (package / "fine.py").write_text("class Y: pass\n")
    with pytest.raises(PluginError, match=r"sig_pkg\.fine:X cannot be imported.*AttributeError"):
        signature("sig_pkg.fine:X")


def test_an_edited_file_is_read_again(package):
    path = package / "edited.py"
    path.write_text("class A:\n    def __init__(self, *, x: int = 1): ...\n")
    assert signature("sig_pkg.edited:A").options["x"].default == 1
    path.write_text("class A:\n    def __init__(self, *, x: int = 2): ...\n")
    assert signature("sig_pkg.edited:A").options["x"].default == 2


def test_what_the_source_does_not_say_is_asked_of_python(package):
    (package / "dynamic.py").write_text(
        "import math\nfrom typing import List, Optional, Union\nfrom pathlib import Path\n"
        "def make():\n"
        "    class Base:\n"
        '        """Base.\n\n        Parameters\n        ----------\n        a\n'
        '            The a.\n        """\n'
        "        level = math.tau\n"
        "        def __init__(self, net, *, a: Optional[List[int]] = None, f: Path): ...\n"
        "    class Made(Base):\n"
        '        """Made."""\n'
        "        def __init__(self, *, b: float = math.pi, c: Union[int, str] = 1, **o): ...\n"
        "    return Made\n"
        "Made = make()\n"
    )
    found = signature("sig_pkg.dynamic:Made")
    assert found.doc_summary == "Made."
    assert {n: (o.annotation, o.default) for n, o in found.options.items()} == {
        "b": (float, 3.141592653589793),
        "c": (Union[int, str], 1),
        "a": (Optional[List[int]], None),
        "f": (Path, REQUIRED),
    }
    assert found.options["a"].description == "The a."
    assert class_attribute("sig_pkg.dynamic:Made", "level") == 6.283185307179586


@pytest.mark.parametrize("target", sorted(OPTIMIZERS.values()))
def test_optimizers_read_as_python_sees_them(target):
    """The static reading agrees with inspect on real classes, and every option is documented."""
    module, _, name = target.partition(":")
    thing = getattr(importlib.import_module(module), name)
    seen = {p.name: p.default for p in inspect.signature(thing).parameters.values()}
    hints = typing.get_type_hints(thing.__init__)
    options = signature(target).options
    assert {n: o.default for n, o in options.items()} == seen
    assert {n: o.annotation for n, o in options.items()} == {n: hints[n] for n in seen}
    assert all(option.description for option in options.values())


@pytest.mark.parametrize(
    ("text", "wanted", "words"),
    [
        ("int", int, "int"),
        ("None", type(None), "null"),
        ("Optional[int]", Optional[int], "int or null"),
        ("t.Optional['float']", Optional[float], "float or null"),
        ("int | str | None", Union[int, str, None], "int or str or null"),
        ("None | int", Optional[int], "int or null"),
        ("List[float]", List[float], "list of float"),
        ("list[list[int]]", List[List[int]], "list of list of int"),
        ("tuple[int, ...]", Tuple[int, ...], "list of int, …"),
        ("Tuple[int, str]", Tuple[int, str], "list of int, str"),
        ("dict[str, float]", Dict[str, float], "mapping of str to float"),
        ("dict", Dict[str, Any], "mapping of str to anything"),
        ("Literal['a', 'b']", Literal["a", "b"], "one of 'a', 'b'"),
        ("Literal[3]", Literal[3], "one of 3"),
        ("Any", Any, "anything"),
        ("pathlib.Path", Path, "path"),
        ("Annotated[float, 'allow_inf_nan']", typing.Annotated[float, "allow_inf_nan"], "float"),
    ],
)
def test_annotations(text, wanted, words):
    found = annotation_from(ast.parse(text, mode="eval").body)
    assert found == wanted and type_text(found) == words


@pytest.mark.parametrize("text", ["set[int]", "f()", "int + 1", "'1 +'", "Foo", "3", "..."])
def test_annotations_that_no_option_may_have(text):
    with pytest.raises((ValueError, SyntaxError)):
        annotation_from(ast.parse(text, mode="eval").body)


def test_no_annotation_is_evaluated(tmp_path, monkeypatch):
    mark = tmp_path / "ran"
    (tmp_path / "evil_sig.py").write_text(
        f"class E:\n    def __init__(self, *, x: \"open({str(mark)!r}, 'w')\" = 1): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PluginError, match="option 'x'"):
        signature("evil_sig:E")
    assert not mark.exists()


def test_reading_imports_nothing_heavy(package):
    code = (
        "import sys\n"
        "from dope.core.configuring.signature import signature, class_attribute\n"
        "signature('sig_pkg.code:Wide'); class_attribute('sig_pkg.code:Wide', 'defaults')\n"
        "heavy = {'mxnet', 'numpy', 'pydantic', 'yaml', 'sig_pkg.code', 'sig_pkg.base'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=package.parent,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_a_glance_at_a_class_gives_what_its_whole_module_gives():
    code = """
from dope.core.configuring import signature, source
from dope.core.plugging.discovery import discover
targets = [entry.target for entry in discover().entries("task")]
glanced = [signature.class_attribute(each, "profiles") for each in targets]
print(sum(source.glance(each, "profiles") is not None for each in targets))
signature.glance = lambda target, name: None
assert glanced == [signature.class_attribute(each, "profiles") for each in targets]
"""  # apart: pytest's own loader of dope's modules has no source to glance at
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 20


@pytest.mark.parametrize(
    "body, found",
    [
        ("    kinds = 3\n    def f(self): ...\n", True),
        ("    define = 2\n    kinds = 3\n", True),  # begins as a method does
        ('    """Text.\n\n    def f: no method\n    """\n\n    kinds = 3\n', False),
        ("    def f(self): ...\n    kinds = 3\n", False),
        ("    kinds = 2\n    def f(self): ...\n    kinds = 3\n", False),
        ("    if True:\n        kinds = 2\n    kinds = 3\n", False),
        ('    text = """\nkinds\n"""\n    kinds = 3\n', False),
    ],
)
def test_what_a_glance_is_not_sure_of_it_leaves(tmp_path, monkeypatch, body, found):
    name = f"glanced_{abs(hash(body))}"
    (tmp_path / f"{name}.py").write_text(f"class Seen:\n{body}\n\nkinds = 9\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert (source.glance(f"{name}:Seen", "kinds") is not None) is found
    assert signature_module.class_attribute(f"{name}:Seen", "kinds") == 3
