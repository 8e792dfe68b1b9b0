"""How well house prices are predicted: dope's two profiles and scikit-learn on the same folds.

Not part of the test suite. Run it alone::

    python benchmarks/house_prices.py --data PATH/TO/house_prices --sklearn PATH/TO/ITS/python
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Optional

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
FOLDS = 5


def dope_scores(profile: str, data: Path, seed: int, folder: Path, small: bool) -> dict[str, Any]:
    """Root mean squared errors of log prices, a fold each; processor seconds of all trainings."""
    import dope

    began = time.process_time()
    sections: dict[str, Any] = {"dataset": {"path": str(data)}} if data else {}
    if small:
        sections = {"dataset": {"train": 100, "test": 5}, "trainer": {"epochs": 2}}
    run = dope.run("tabular.house_prices", profile=profile, runs=folder, seed=seed, **sections)
    scores = [run.metrics["folds"][str(i)]["valid_log_rmse"] for i in range(1, FOLDS + 1)]
    written = (run.path / "submission.csv").read_text(encoding="utf-8").count("\n") - 1
    return {"scores": scores, "seconds": time.process_time() - began, "submission": written}


def write_folds(folder: Path, data: Optional[Path], seed: int, small: bool) -> None:
    """The same folds, learned from their training rows: scaled with logarithms, and plain."""
    from dope.plugins.tabular.house_prices import HousePrices

    forms: dict[str, dict[str, Any]] = {
        "scaled": {"clip": None},
        "cut": {},  # as dope's own model gets them
        "plain": {"clip": None, "log_skew": None, "categorical": ()},
    }
    sizes: dict[str, Any] = {"train": 100, "test": 5} if small else {"path": data}
    for number in range(1, FOLDS + 1):
        arrays = {}
        for form, options in forms.items():
            fold = HousePrices(**sizes, **options).fold(number, FOLDS, seed)
            for split in ("train", "valid"):
                arrays[f"{split}_{form}"] = fold.arrays(split, ("together",))[0]
                arrays[f"{split}_price"] = fold.values(split)
        np.savez(folder / f"fold-{number}.npz", **arrays)


def peers(python: Path, folder: Path) -> dict[str, Any]:
    """What scikit-learn reaches on the folds of a folder."""
    command = [str(python), str(HERE / "houses" / "peers.py"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    if done.returncode:
        raise SystemExit(done.stderr.strip().splitlines()[-1])
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def page(rows: dict[str, dict[str, Any]], seeds: list[int]) -> str:
    """The results as a table."""
    lines = [
        f"Mean and standard deviation over {FOLDS} folds, and processor seconds of one seed.",
        "",
        "| model | " + " | ".join(f"seed {seed}" for seed in seeds) + " | seconds |",
        "|---|" + "---:|" * (len(seeds) + 1),
    ]
    for name, row in rows.items():
        cells = [f"{np.mean(x):.4f} ± {np.std(x, ddof=1):.4f}" for x in row["scores"]]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {row['seconds']:.0f} |")
    return "\n".join(lines)


def main() -> int:
    """Measure, print, and write where a whole run was asked for."""
    given = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    given.add_argument("--data", type=Path, help="folder with Kaggle's train.csv and test.csv")
    given.add_argument("--sklearn", type=Path, help="Python that has scikit-learn")
    given.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given.add_argument("--no-write", action="store_true", help="print only")
    given.add_argument("--small", action="store_true", help="little data, to see that it runs")
    options = given.parse_args()
    if options.data is None and not options.small:
        given.error("--data is missing: houses that are generated say nothing of real ones")
    rows: dict[str, dict[str, Any]] = {}

    def add(name: str, scores: list[float], seconds: float) -> None:
        row = rows.setdefault(name, {"scores": [], "seconds": seconds})
        row["scores"].append(scores)

    about = {"python": platform.python_version(), "numpy": np.__version__}
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            for profile in ("book", "quick"):
                found = dope_scores(profile, options.data, seed, folder, options.small)
                add(f"dope, {profile}", found["scores"], found["seconds"])
                about[f"rows of submission.csv, {profile}"] = found["submission"]
            if options.sklearn:
                write_folds(folder, options.data, seed, options.small)
                answer = peers(options.sklearn, folder)
                about["scikit-learn"] = answer["version"]
                for name, scores in answer["scores"].items():
                    add(f"scikit-learn, {name}", scores, answer["seconds"][name])
    text = page(rows, options.seeds)
    print(text)
    if not (options.no_write or options.small):
        from results import write

        write("house_prices", {"seeds": options.seeds, "rows": rows, "about": about}, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
