"""Plain text for people: files by folder."""

from pathlib import Path

from dope.core.terminal.present import by_folder


def test_few_files_are_all_named_and_of_many_the_last():
    plots = [Path("run/plots/curves.png"), Path("run/plots/filters.png")]
    samples = [Path(f"run/samples/epoch-{i:04d}.txt") for i in range(1, 21)]
    assert by_folder([]) == []
    assert by_folder(plots + samples[:8]) == [str(file) for file in plots + samples[:8]]
    assert by_folder(plots + samples) == [
        "run/plots/curves.png",
        "run/plots/filters.png",
        "run/samples/epoch-0020.txt  (19 more in run/samples)",
    ]
