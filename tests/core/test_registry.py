"""The registry: names, collisions, misses and late imports.

Finding plugins is tested in test_discovery.py.
"""

from __future__ import annotations

import pytest

from dope.core.errors import BackendError, ConfigError, PluginError
from dope.core.plugging.registry import Entry, PluginInfo, Registry


def entry(name="toy.net", target="toy_code:Net", kind="model", summary="A net", plugin="toy"):
    return Entry(kind, name, target, summary, plugin)


@pytest.fixture
def registry():
    made = Registry()
    made.add(entry())
    made.add(entry("toy.digits", "toy_code:Digits", "dataset"))
    made.add(entry("toy.net", "toy_code:Fit", "task"))
    made.add(entry("other.ring", "other_code:Ring", plugin="other"))
    return made


def test_entries_are_sorted_and_filtered(registry):
    found = [(e.kind, e.name) for e in registry.entries()]
    assert found == [
        ("dataset", "toy.digits"),
        ("model", "other.ring"),
        ("model", "toy.net"),
        ("task", "toy.net"),
    ]
    assert [e.name for e in registry.entries("model", "toy")] == ["toy.net"]
    assert registry.entries("loss") == []


def test_collision_names_both_owners_and_keeps_the_first(registry):
    with pytest.raises(PluginError) as caught:
        registry.add(entry(target="thief:Net"))
    text = str(caught.value)
    assert "toy_code:Net" in text and "thief:Net" in text and text.count("'toy'") == 2
    assert registry.get("model", "toy.net").target == "toy_code:Net"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": "net"}, "not of the form plugin.name"),
        ({"name": "Toy.Net"}, "not of the form plugin.name"),
        ({"name": "toy."}, "not of the form plugin.name"),
        ({"name": 3}, "not of the form plugin.name"),
        ({"name": "vision.net"}, "does not begin with its plugin's name"),
        ({"target": "toy_code.Net"}, "not an import string"),
        ({"target": "toy code:Net"}, "not an import string"),
        ({"target": None}, "not an import string"),
        ({"summary": "  "}, "no summary"),
        ({"kind": "modell"}, "not a kind"),
    ],
)
def test_malformed_entries_are_refused(change, words):
    registry = Registry()
    with pytest.raises(PluginError, match=words):
        registry.add(entry(**change))
    assert registry.entries() == []


def test_miss_suggests_near_names(registry):
    with pytest.raises(ConfigError) as caught:
        registry.get("model", "toy.nett")
    assert "there is no model 'toy.nett'" in str(caught.value)
    assert "Did you mean 'toy.net'?" in str(caught.value) and "dope list" in str(caught.value)
    assert caught.value.exit_code == 2
    with pytest.raises(ConfigError, match=r"Did you mean 'other.ring'\?"):
        registry.get("model", "ring")


def test_miss_says_what_kind_the_name_is(registry):
    with pytest.raises(ConfigError, match=r"'toy.digits' is a dataset, not a model"):
        registry.get("model", "toy.digits")


def test_miss_names_the_broken_or_disabled_plugin(registry):
    registry.plugins += [
        PluginInfo("vision", "v.plugin", error="ImportError: no v", where="/v/plugin.py:3"),
        PluginInfo("nlp", "n.plugin", disabled_by=["DOPE_DISABLE_PLUGINS"]),
    ]
    with pytest.raises(ConfigError, match=r"plugin 'vision' is broken: ImportError: no v at /v/"):
        registry.get("task", "vision.cnn")
    with pytest.raises(ConfigError, match="plugin 'nlp' is disabled"):
        registry.get("task", "nlp.lm")
    with pytest.raises(ConfigError) as caught:
        registry.get("task", "toy.cnn")
    assert "broken" not in str(caught.value)


def test_load_imports_only_when_asked(tmp_path, monkeypatch, registry):
    (tmp_path / "late_code.py").write_text("class Net: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import sys

    late = entry(target="late_code:Net")
    Registry().add(late)
    assert "late_code" not in sys.modules
    assert late.load().__name__ == "Net"
    monkeypatch.delitem(sys.modules, "late_code")


@pytest.mark.parametrize(
    ("target", "cause", "words"),
    [
        ("no_such_module_xyz:Net", ImportError, "no_such_module_xyz"),
        ("json:Nothing", AttributeError, "Nothing"),
    ],
)
def test_load_failure_names_plugin_target_and_reason(target, cause, words):
    with pytest.raises(PluginError) as caught:
        entry(target=target).load()
    text = str(caught.value)
    assert "plugin 'toy'" in text and target in text and words in text and "\n" not in text
    assert isinstance(caught.value.__cause__, cause)


def test_load_lets_an_error_for_the_user_pass(tmp_path, monkeypatch):
    source = "from dope.core.errors import BackendError\nraise BackendError('no MXNet')\n"
    (tmp_path / "needs_backend.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(BackendError, match="no MXNet"):
        entry(target="needs_backend:Net").load()
